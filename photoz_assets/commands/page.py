"""The Dagster page as ``photoz ui`` serves it: ``dagster-webserver`` behind a guard, and the atlases beside it.

Run as a module, with a host and ``dagster-webserver``'s options.
"""

import os
import sys
from http import HTTPStatus
from pathlib import PurePath
from typing import Any, Final

from dagster_webserver import cli
from dagster_webserver.app import create_app_from_workspace_process_context
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

from photoz_assets.atlas.pages import INDEX
from photoz_assets.commands.guard import PageGuard, own_names
from photoz_assets.environment import settings
from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.orchestration.assets.atlas import ATLASES, atlas_path
from photoz_assets.survey.releases import release_named, release_names

# An origin of nobody's (HTML, sec. 7.1.5): the guard refuses whatever else such a page asks of this server.
_SANDBOX: Final = "sandbox allow-scripts allow-forms"


class AtlasPages(StaticFiles):
    """A lake's atlas, which shares the Dagster page's address and nothing else of it: others may write there."""

    def __init__(self, lake: Lake) -> None:
        # A lake may have no atlas yet.
        super().__init__(directory=lake.atlas, html=True, check_dir=False)
        self._lake = lake

    async def check_config(self) -> None:
        """Take a folder that is not there for an empty one."""

    def lookup_path(self, path: str) -> tuple[str, os.stat_result | None]:
        """Look for a page, which of a lake in a store may not have come here yet."""
        page = PurePath(path)
        if page.suffix and ".." not in page.parts:
            try:
                self._lake.kept.recall(self._lake.atlas / page)
            except PhotozError as error:
                raise HTTPException(status_code=503, detail=str(error)) from error
        return super().lookup_path(path)

    async def get_response(self, path: str, scope: Scope) -> Response:
        """Answer with a page; where the lake has none, with how they are made."""
        try:
            return await super().get_response(path, scope)
        except HTTPException as error:
            if error.status_code != HTTPStatus.NOT_FOUND or (self._lake.atlas / INDEX).is_file():
                raise
            text = (
                f"The lake {self._lake.name} has no atlas yet: materialize the asset atlas on the Dagster page.\n"
            )
            return PlainTextResponse(text, HTTPStatus.NOT_FOUND)

    def file_response(self, *arguments: Any, **settings: Any) -> Response:
        """Return a file with the header that sandboxes it."""
        response = super().file_response(*arguments, **settings)
        response.headers["Content-Security-Policy"] = _SANDBOX
        return response


def atlas_mounts() -> list[Mount]:
    """Return the atlas of each release's lake, made or not, below the address that its asset names."""
    known, releases = settings(), map(release_named, release_names())
    return [Mount(atlas_path(each), AtlasPages(open_lake(known.data_dir_of(each)))) for each in releases]


def main() -> None:
    """Run ``dagster-webserver`` on a host, the first argument, with the options that follow."""
    host, *options = sys.argv[1:]

    def create_guarded_app(*arguments: Any, **settings: Any) -> Any:
        app = create_app_from_workspace_process_context(*arguments, **settings)
        # Dagster's last route takes every address.
        app.routes[:0] = atlas_mounts()
        app.add_middleware(PageGuard, names=own_names(host), shown=f"{ATLASES}/")
        return app

    # Its command has no option for a middleware. `photoz ui` sees to it that the guard is in force.
    vars(cli)[create_app_from_workspace_process_context.__name__] = create_guarded_app
    cli.cli(["--host", host, *options])


if __name__ == "__main__":
    main()
