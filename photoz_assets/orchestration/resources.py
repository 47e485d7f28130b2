"""What runs are given: archive, lake (in ``io_manager``), Butler, selection, sampling, estimator.

All that depends on the environment is resolved when a run needs it. The token is never configuration: it comes
from the environment alone, so that no page of the UI and no run record holds it.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeAlias

import dagster as dg
from pydantic import Field, PrivateAttr

from photoz_assets import environment
from photoz_assets.butler.repository import ButlerError, Repository
from photoz_assets.environment import SettingError
from photoz_assets.ingest import QueryLimits, TapIngest
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.quota import Quota
from photoz_assets.orchestration.declared import LocationResource
from photoz_assets.orchestration.embedded_archive import require_embedded_archive
from photoz_assets.photoz.estimators import configured
from photoz_assets.photoz.fitting import Estimation
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.discovery import discover_tap, is_discovery
from photoz_assets.tap.errors import Rejected
from photoz_assets.tap.hosts import is_loopback
from photoz_assets.tap.transport import origin_of

# The release that a code location is of; no configuration, since what it decides is fixed when the location loads.
ReleaseParam: TypeAlias = dg.ResourceParam[Release]


class ArchiveResource(LocationResource):
    """The archive that a run asks: the one at ``PHOTOZ_TAP_URL``, else the embedded one, started here."""

    url: str | None = Field(
        default=None,
        description="TAP base URL, or that of a discovery document; by default PHOTOZ_TAP_URL, else the embedded "
        "archive",
    )
    max_concurrent_queries: int = Field(
        default=4,
        ge=1,
        le=12,
        description="Queries at a time, of all runs on this machine, and with Dagster on Postgres of all on the "
        "lake; Rubin's quota is 12 a user",
    )
    deadline_hours: float = Field(default=6.0, gt=0, description="Hours after which a query is aborted")
    max_rows: int = Field(default=20_000_000, ge=1, description="The most rows of a result (MAXREC)")
    cutouts_per_minute: int = Field(
        default=35,
        ge=1,
        description="Parts of images a minute, of all runs on this machine: Rubin's quota for a user. An archive "
        "on this machine is asked without a bound",
    )
    result_format: Literal["binary2", "parquet"] = Field(
        default="binary2",
        description="How a result is sent; parquet has a third fewer bytes, where the archive offers it",
    )

    _embedded: Any = PrivateAttr(default=None)

    @property
    def limits(self) -> QueryLimits:
        """How politely and for how long to ask."""
        return QueryLimits(
            queries=self.max_concurrent_queries,
            deadline_seconds=self.deadline_hours * 3600,
            max_rows=self.max_rows,
        )

    def client(self, release: Release, *, run_id: str, log: Callable[[str], None]) -> TapClient:
        """Return the archive of a release, asked in the name of a run.

        The token is for the origin of ``PHOTOZ_TAP_URL`` alone: whoever can launch a run can write its
        configuration, but must not send the token elsewhere.

        Raises
        ------
        SettingError
            No archive is named, and the embedded one is not installed or its settings make no sense; or the run's
            configuration holds a token.
        ArchiveError
            The service had to be discovered, and could not be.
        """
        self.refuse_tokens()
        named = environment.tap_url()
        url = self.url or named
        if url and is_discovery(url):
            url = discover_tap(url, release.name, on_event=log)
        token = environment.tap_token() if url else None
        if url and token and not _is_of_origin(url, named):
            log(f"{url} is asked without the token, which is for the origin of PHOTOZ_TAP_URL alone")
            token = None
        return TapClient(
            url or self._embedded_url(),
            token=token,
            run_id=run_id,
            on_event=log,
            prefer_parquet=self.result_format == "parquet",
        )

    def ingest(self, lake: Lake, release: Release, *, run_id: str, log: Callable[[str], None]) -> TapIngest:
        """Return what fetches a lake's tables from the archive, in the name of a run; raises as ``client``."""
        client = self.client(release, run_id=run_id, log=log)
        return TapIngest(client=client, lake=lake, release=release, run_id=run_id, limits=self.limits, log=log)

    def redshift_files(self, release: Release) -> tuple[Path, ...]:
        """Return the files of redshifts to read: those of ``PHOTOZ_SPECZ``, else the embedded archive's own.

        Raises
        ------
        SettingError
            None are named, and another archive is asked, or the embedded one is not installed.
        """
        if files := environment.specz():
            return files
        if self.url is None and environment.asks_embedded_archive():
            require_embedded_archive()
            from photoz_archive.sky.redshift_file import usual_redshifts  # noqa: PLC0415 - an extra, and heavy

            return (usual_redshifts(environment.archive_dir(), release, environment.archive_density()),)
        raise SettingError(
            "PHOTOZ_SPECZ is not set: name the file, or files, of redshifts of other surveys that objects are to "
            "be matched with"
        )

    def cutout_quota(self, lake: Lake, url: str, log: Callable[[str], None]) -> Quota | None:
        """Return what bounds the cutouts that a lake's processes ask of an archive; None for no bound."""
        if is_loopback(url):
            return None
        return Quota(path=lake.quotas / "cutouts", per_minute=self.cutouts_per_minute, log=log)

    def _embedded_url(self) -> str:
        """Start the embedded archive in this process, once, and return its URL."""
        if self._embedded is None:
            require_embedded_archive()
            # Only here does the pipeline know of the archive that comes with it.
            from photoz_archive.service.official import OfficialSchemaError  # noqa: PLC0415 - an extra, and heavy
            from photoz_archive.service.server import ArchiveServer  # noqa: PLC0415 - as above

            server = ArchiveServer(environment.archive_dir(), density=environment.archive_density())
            try:
                server.start()
            except OfficialSchemaError as error:
                raise SettingError(str(error)) from error
            self._embedded = server
        return str(self._embedded.url)

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:  # noqa: ARG002 - Dagster's signature
        """End with the run."""
        self.close()

    def close(self) -> None:
        """Stop the embedded archive, if it was started here."""
        if self._embedded is not None:
            self._embedded.stop()
            self._embedded = None


def _is_of_origin(url: str, named: str | None) -> bool:
    """Return whether a URL has the scheme, host and port of the one that is named."""
    try:
        return named is not None and origin_of(url) == origin_of(named)
    except Rejected:
        # It is refused, by name, where it is asked.
        return False


class ButlerResource(LocationResource):
    """The Butler repository that a run reads, if any: its location's, whatever a run's configuration says."""

    repository: str | None = Field(
        default=None,
        description="Folder or URL of the repository; by default PHOTOZ_BUTLER_REPOSITORY. For definitions: a run "
        "that configures another is refused",
    )
    collections: list[str] | None = Field(
        default=None, description="Collections to search, in this order; by default the release's"
    )
    skymap: str | None = Field(
        default=None, description="Name of the skymap that tracts are of; by default the release's"
    )

    def open(self, release: Release) -> Repository:
        """Open the repository; whoever opens it closes it.

        The client takes a server's token from ``BUTLER_RUBIN_ACCESS_TOKEN``, and from ``ACCESS_TOKEN`` for Rubin's
        own hosts alone.

        Raises
        ------
        ButlerError
            The client is not installed, nothing is configured, the run configures another repository than its
            location has, or it cannot be opened.
        SettingError
            The run's configuration holds a token.
        """
        self.refuse_tokens()
        named = environment.butler_repository()
        location = self.repository or named
        own = self.declared("repository") or named
        if location != own:
            raise ButlerError(
                f"this run's configuration asks for the repository {location}, but a run keeps to its location's, "
                f"{own or 'which has none'}: set PHOTOZ_BUTLER_REPOSITORY={location} for the location instead"
            )
        if location != named and environment.has_butler_token():
            raise ButlerError(
                f"the repository {location} of the definitions is another than PHOTOZ_BUTLER_REPOSITORY, "
                "and the client would send it the token: set PHOTOZ_BUTLER_REPOSITORY to it, or unset the token"
            )
        names = release.butler
        return Repository.open(
            location,
            collections=names.collections if self.collections is None else tuple(self.collections),
            skymap=self.skymap or names.skymap,
        )


class SelectionResource(LocationResource):
    """Which galaxies are wanted; a selection that makes no sense fails before anything is asked."""

    bright_limit_mag: float = Field(
        default=Selection.bright_limit_mag, description="Measured AB magnitudes lie above this, which is excluded"
    )
    faint_limit_mag: float = Field(
        default=Selection.faint_limit_mag, description="Measured AB magnitudes lie below this, which is excluded"
    )
    bands: list[str] = Field(
        default=list(Selection.bands), description="Bands, of ugrizy, whose cModel magnitudes are cut"
    )

    def selection(self) -> Selection:
        """Return the selection.

        Raises
        ------
        SelectionError
            It makes no sense.
        SettingError
            The run's configuration holds a token.
        """
        self.refuse_tokens()
        return Selection(
            bright_limit_mag=self.bright_limit_mag,
            faint_limit_mag=self.faint_limit_mag,
            bands=tuple(self.bands),
        )


class SamplingResource(LocationResource):
    """How training sets are drawn; a sampling that makes no sense fails before anything is read."""

    seed: int = Field(default=Sampling.seed, description="Another seed, other splits and draws")
    split_by: str = Field(
        default=Sampling.split_by,
        description="What is kept together in a split: galaxy, patch or tract",
    )
    fractions: list[float] = Field(
        default=list(Sampling.fractions), description="Shares of training, validation and test; together 1"
    )
    sizes: list[int] | None = Field(
        default=list(Sampling.sizes or ()),
        description="The most galaxies of training, validation and test; null for all of them",
    )
    extended_only: bool = Field(
        default=Sampling.extended_only, description="Whether objects that are point-like are left out"
    )
    max_true_offset_mag: float | None = Field(
        default=Sampling.max_true_offset_mag,
        description="The most that the measured r magnitude may differ from the true one; null for any",
    )
    completeness_limit_mag: float | None = Field(
        default=Sampling.completeness_limit_mag,
        description="The i magnitude at which half of the galaxies are marked as followed up: the second model is "
        "fitted to those; null for all, and no second model",
    )
    completeness_width_mag: float = Field(
        default=Sampling.completeness_width_mag,
        description="How slowly the completeness falls there: 1 / (1 + exp((i - limit) / width))",
    )

    def sampling(self) -> Sampling:
        """Return the sampling.

        Raises
        ------
        SamplingError
            It makes no sense.
        SettingError
            The run's configuration holds a token.
        """
        self.refuse_tokens()
        return Sampling(
            seed=self.seed,
            split_by=self.split_by,
            fractions=tuple(self.fractions),
            sizes=None if self.sizes is None else tuple(self.sizes),
            extended_only=self.extended_only,
            max_true_offset_mag=self.max_true_offset_mag,
            completeness_limit_mag=self.completeness_limit_mag,
            completeness_width_mag=self.completeness_width_mag,
        )


class EstimatorResource(LocationResource):
    """By which estimator redshifts are learnt; settings that make no sense fail before anything is read."""

    estimator: str = Field(default="forest", description="One of photoz/estimators: forest, neighbours")
    bands: list[str] = Field(
        default=list(BANDS), description="Bands, of ugrizy, that it sees; galaxies that one of them lacks get none"
    )
    errors: bool = Field(default=False, description="Whether the errors of the fluxes are features too")
    settings: dict[str, Any] = Field(
        default={}, description="Settings of the estimator, by its own names, such as trees: 100"
    )
    jobs: int = Field(default=1, ge=1, description="Processors that may work on a fit; its result is the same")

    def estimation(self) -> Estimation:
        """Return what is to be fitted.

        Raises
        ------
        EstimatorError
            There is no such estimator, or a setting makes no sense.
        SettingError
            The run's configuration holds a token.
        """
        self.refuse_tokens()
        return Estimation(
            estimator=configured(self.estimator, self.settings), bands=tuple(self.bands), errors=self.errors
        )
