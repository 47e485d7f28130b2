"""``photoz atlas``: the lake's pages on an address of this machine, for looking; nothing is opened or written."""

from collections.abc import Callable

import uvicorn
from starlette.staticfiles import StaticFiles

from photoz_assets.atlas.pages import INDEX
from photoz_assets.commands.guard import PageGuard, own_names
from photoz_assets.commands.ui import refuse_unusable
from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake


class NoAtlasError(PhotozError):
    """The lake has no pages yet; the text says how to make them."""


def serve_atlas(lake: Lake, *, port: int, log: Callable[[str], None]) -> None:
    """Serve the atlas on loopback until it is interrupted.

    Parameters
    ----------
    lake
        Whose pages.
    port
        Where they answer.
    log
        Takes the line that says their address.

    Raises
    ------
    NoAtlasError
        There are none yet.
    UiError
        The port is taken.
    """
    for pattern in ("*", "*/*", "*/*/*"):
        lake.kept.recall_all(lake.atlas, pattern)
    if not (lake.atlas / INDEX).is_file():
        raise NoAtlasError(
            f"the lake {lake.name} has no atlas yet: materialize the asset atlas on the Dagster page, or by "
            "dagster asset materialize -m photoz_assets.definitions --select atlas"
        )
    host = "127.0.0.1"
    refuse_unusable(host, port, "atlas")
    app = PageGuard(StaticFiles(directory=lake.atlas, html=True), own_names(host))
    log(f"The atlas is at http://{host}:{port} - Ctrl-C ends it. As files: {lake.atlas / INDEX}")
    uvicorn.run(app, host=host, port=port, log_level="warning", lifespan="off")
