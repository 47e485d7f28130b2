"""The server: an archive's folder, its service and a thread that answers HTTP on loopback."""

import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Final, Self

import uvicorn

from photoz_archive.files import make_folder
from photoz_archive.images.observations import obscore_rows
from photoz_archive.images.pixels import SkyImages
from photoz_archive.service.app import TapApplication
from photoz_archive.service.disk import DEFAULT_LIMITS, DiskLimits
from photoz_archive.service.engine import Engine, ServedSky
from photoz_archive.service.faults import Faults
from photoz_archive.service.footprint import SkyFootprint
from photoz_archive.service.image_service import LINKS, ImageService
from photoz_archive.service.jobs import JobStore
from photoz_archive.service.listing import archive_listing
from photoz_archive.service.profile import Profile
from photoz_archive.service.query_service import QueryService
from photoz_archive.service.schema import load_schema
from photoz_archive.service.server_folder import ServerFolder
from photoz_archive.sky.coadds import coadd_patches
from photoz_archive.sky.identifiers import tract_of_object_id
from photoz_archive.sky.recipe import DP02, RECIPES, Recipe
from photoz_archive.sky.store import SKY_VERSION, SkyStore

_START_SECONDS: Final = 10
_FRIENDLY: Final = Profile.friendly()
_NO_FAULTS: Final = Faults()
_PATCHES_TABLE: Final = f'"{DP02.release.schema}"."coaddpatches"'


class ArchiveServer:
    """The embedded archive as a server in this process; a context manager that starts and stops it.

    Parameters
    ----------
    data_dir
        Where its rows, jobs and results lie; made if it is missing.
    density
        Share of the real source density that its skies have; by default the one of each release.
    host, port
        Where it listens; port 0 takes a free one.
    profile
        How it behaves.
    faults
        What it does wrong; ``faults`` can be set while it runs.
    tracts
        The tracts of its skies, of those that each release has; by default all of them.
    token
        Bearer token that every request but those for capabilities and availability needs.
    limits
        What its queries and their results may take of the disk.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        density: float | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        profile: Profile = _FRIENDLY,
        faults: Faults = _NO_FAULTS,
        tracts: tuple[int, ...] | None = None,
        token: str | None = None,
        limits: DiskLimits = DEFAULT_LIMITS,
    ) -> None:
        self._data_dir = data_dir
        self._density = density
        self._host = host
        self._port = port
        self._profile = profile
        self._faults = faults
        self._tracts = tracts
        self._token = token
        self._limits = limits
        self._archive: QueryService | None = None
        self._server_folder: ServerFolder | None = None
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL of the TAP service, while it runs."""
        return f"http://{self._host}:{self._port}/tap"

    @property
    def faults(self) -> Faults:
        """What the server does wrong."""
        return self._faults

    @faults.setter
    def faults(self, faults: Faults) -> None:
        self._faults = faults
        if self._archive is not None:
            self._archive.faults = faults

    def start(self) -> None:
        """Start the server.

        Raises
        ------
        OSError
            The port is taken, or the folder cannot be written.
        ValueError
            The density is out of range, or no release has one of the tracts.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self._port))
            self._port = listener.getsockname()[1]
            self._archive = self._open_archive()
        except BaseException:
            listener.close()
            raise
        application = TapApplication(self._archive, self._open_images(self._archive), self._token)
        config = uvicorn.Config(
            application.starlette, log_config=None, lifespan="off", timeout_graceful_shutdown=3, access_log=False
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(
            target=self._server.run, kwargs={"sockets": [listener]}, name="photoz-archive", daemon=True
        )
        self._thread.start()
        self._await_start()

    def stop(self) -> None:
        """Stop the server and the queries that run; a second call does nothing."""
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(timeout=_START_SECONDS)
        if self._archive is not None:
            self._archive.close()
        if self._server_folder is not None:
            self._server_folder.release()
        self._server = self._thread = self._archive = self._server_folder = None

    def __enter__(self) -> Self:
        """Start."""
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        self.stop()

    def _open_images(self, archive: QueryService) -> ImageService:
        # Of the other releases' skies no image is drawn.
        density = DP02.release.density if self._density is None else self._density
        return ImageService(SkyImages(density=density), self._profile, lambda: archive.faults)

    def _open_archive(self) -> QueryService:
        sky_folder = self._data_dir / "sky"
        make_folder(sky_folder)
        skies = self._skies(sky_folder)
        self._server_folder = server_folder = ServerFolder(self._data_dir / "servers")
        schema = load_schema(
            archive_listing(
                self._data_dir / "schemas",
                {recipe.release.schema: recipe.objects.names for recipe in RECIPES},
            ),
            {recipe.release.schema: _identity(skies[recipe]) for recipe in RECIPES},
            lower_case=self._profile.lower_case_names,
            booleans_as_short=self._profile.booleans_as_short,
        )
        observations = obscore_rows(_PATCHES_TABLE, f"http://{self._host}:{self._port}{LINKS}")
        engine = Engine(
            schema,
            {
                recipe.release.schema: ServedSky(
                    sky=sky,
                    tables=recipe.tables,
                    patches=coadd_patches(recipe.release),
                    float_digits=recipe.float_digits if self._profile.six_digit_floats else None,
                )
                for recipe, sky in skies.items()
            },
            sky_folder=sky_folder,
            scratch_folder=server_folder.scratch_folder,
            spill_bytes=self._limits.spill_bytes,
            views={("ivoa", "obscore"): observations},
        )
        footprints = {recipe.release.schema: _footprint(recipe, sky) for recipe, sky in skies.items()}
        jobs = JobStore(
            server_folder.jobs_folder,
            execution_duration=self._profile.execution_limit_seconds,
            limits=self._limits,
        )
        archive = QueryService(engine, schema, footprints, jobs, self._profile)
        archive.faults = self._faults
        return archive

    def _skies(self, folder: Path) -> dict[Recipe, SkyStore]:
        """Return the skies of all releases, of those tracts that are asked for."""
        known = {tract for recipe in RECIPES for tract in recipe.release.tracts}
        if foreign := sorted(set(self._tracts or ()) - known):
            raise ValueError(f"no release has objects in tracts {foreign}")
        return {
            recipe: SkyStore(
                folder,
                release=recipe.release,
                density=self._density,
                tracts=None
                if self._tracts is None
                else tuple(set(self._tracts).intersection(recipe.release.tracts)),
            )
            for recipe in RECIPES
        }

    def _await_start(self) -> None:
        server, thread = self._server, self._thread
        waited = threading.Event()
        for _ in range(int(_START_SECONDS / 0.01)):
            if server is not None and server.started:
                return
            if thread is not None and not thread.is_alive():
                break
            waited.wait(0.01)
        self.stop()
        raise OSError(f"The archive did not start on {self._host}:{self._port}")


def _identity(sky: SkyStore) -> str:
    """Return what the schema of a sky's release says of itself."""
    return (
        f"Embedded archive, simulated: a DC2-like sky (density {sky.density:g}, seed {sky.seed}, version "
        f"{SKY_VERSION}) with the tables of {sky.release.title}; no row of it was observed or is Rubin's."
    )


def _footprint(recipe: Recipe, sky: SkyStore) -> SkyFootprint:
    def tract_of(object_id: int) -> int:
        return tract_of_object_id(object_id, recipe.release.object_ids)

    return SkyFootprint(recipe.release.skymap, frozenset(sky.tracts), tract_of, recipe.primaries_only)
