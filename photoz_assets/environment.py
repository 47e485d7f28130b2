"""The settings: what the environment's variables say, as one typed class.

They are read when they are asked for, so that a ``.env`` file, a test or a parent process can speak until then.
What is done with them belongs elsewhere. The library of settings costs a fifth of a second: what must answer at
once imports this module where it asks.
"""

import os
import re
from dataclasses import dataclass, replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Final

from pydantic import AfterValidator, AliasChoices, BeforeValidator, Field, ValidationError
from pydantic_settings import BaseSettings, DotEnvSettingsSource, NoDecode, SettingsConfigDict

from photoz_assets.errors import PhotozError
from photoz_assets.survey.matching import LARGEST_RADIUS_ARCSEC
from photoz_assets.survey.releases import UnknownReleaseError, release_named
from photoz_assets.survey.releases.release import Release

# Set by what starts the embedded archive as one server for all runs: its URL.
SHARED_ARCHIVE: Final = "PHOTOZ_SHARED_ARCHIVE"
# Set by what starts processes in another folder than its own: the latter, which counts where there is no checkout.
STARTED_IN: Final = "PHOTOZ_STARTED_IN"
_BUTLER_TOKENS: Final = ("BUTLER_RUBIN_ACCESS_TOKEN", "ACCESS_TOKEN")
_A_FOLDER: Final = "a folder on this machine, for example /data/photoz"
_A_LAKE: Final = f"{_A_FOLDER}, or s3://BUCKET/PREFIX"
# S3's protocol, and Google's.
_STORES: Final = ("s3", "gs")
# What the extra s3 brings.
_STORE_CLIENTS: Final = ("deltalake", "obstore")
_SCHEME: Final = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


class SettingError(PhotozError):
    """A variable of the environment makes no sense."""


@dataclass(frozen=True)
class StoreUrl:
    """The place of a lake in an object store; the prefix may be empty."""

    bucket: str
    prefix: str
    scheme: str = "s3"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.prefix}".rstrip("/")

    def with_name(self, name: str) -> "StoreUrl":
        """Return the place beside this one; beside a whole bucket lies another bucket."""
        above, slash, _ = self.prefix.rpartition("/")
        if self.prefix:
            return replace(self, prefix=f"{above}{slash}{name}")
        return replace(self, bucket=name)

    @property
    def name(self) -> str:
        """The last part, of the prefix or else the bucket."""
        return self.prefix.rpartition("/")[2] or self.bucket


def _checkout() -> Path | None:
    root = Path(__file__).resolve().parent.parent
    return root if (root / "pyproject.toml").is_file() else None


def checkout_root() -> Path:
    """Return the checkout that this package runs from, or, installed elsewhere, the folder of who started it."""
    return _checkout() or Path(os.environ.get(STARTED_IN) or Path.cwd())


def photoz_command() -> str:
    """Return what messages call the command ``photoz``: in a checkout its path from there, else its name."""
    return ".venv/bin/photoz" if _checkout() else "photoz"


def _local_folder(named: str | Path) -> Path:
    if _SCHEME.match(str(named)):
        raise ValueError("an object store or another URL is no folder")
    try:
        return Path(named).expanduser().absolute()
    except RuntimeError as error:
        raise ValueError("there is no home folder for its ~") from error


def _lake_place(named: "str | Path | StoreUrl") -> Path | StoreUrl:
    if isinstance(named, StoreUrl):
        return named
    scheme, slashes, where = str(named).partition("://")
    if not slashes or scheme.lower() not in _STORES:
        return _local_folder(named)
    if missing := [name for name in _STORE_CLIENTS if find_spec(name) is None]:
        raise ValueError(f"a lake in an object store needs {' and '.join(missing)}: install photoz_assets[s3]")
    bucket, _, prefix = where.partition("/")
    if not bucket:
        raise ValueError("it names no bucket")
    return StoreUrl(bucket, prefix.strip("/"), scheme.lower())


def _database_folder(named: str | Path) -> Path:
    folder = _local_folder(named)
    if "?" in str(folder):
        raise ValueError("SQLite would take what follows the ? for options")
    return folder


def _files(named: object) -> object:
    if not isinstance(named, str):
        return named
    return tuple(_local_folder(name) for name in named.split(os.pathsep) if name)


def _known_release(name: str) -> str:
    try:
        return release_named(name).name
    except UnknownReleaseError as error:
        raise ValueError(str(error)) from error


def _variable(*names: str, sets: str, must_be: str, **rules: Any) -> Any:
    """Declare a setting: its variables, of which the first counts, what it sets and what its value must be."""
    return Field(validation_alias=AliasChoices(*names), description=sets, title=must_be, **rules)


def _default_lake(release: Release) -> Path:
    # Tract numbers occur in several releases.
    return checkout_root() / ("data" if release.bare_keys else f"data-{release.name}")


def _folder(name: str, in_checkout: str, *, sets: str) -> Any:
    return _variable(
        name,
        sets=sets,
        must_be=_A_FOLDER,
        default_factory=lambda: checkout_root() / in_checkout,
    )


class Settings(BaseSettings):
    """Every setting of the project; an empty variable counts as unset. Folders are absolute, ``~`` is home."""

    model_config = SettingsConfigDict(case_sensitive=True, env_ignore_empty=True, extra="ignore", frozen=True)

    release: Annotated[str, AfterValidator(_known_release)] = _variable(
        "PHOTOZ_RELEASE",
        sets="the release whose data are asked for",
        must_be="the name of a release, for example dp02",
        default="dp02",
    )
    photometry: str | None = _variable(
        "PHOTOZ_PHOTOMETRY",
        sets="the kind of flux that galaxies are selected and judged by; else the release's",
        must_be="a kind of flux that the release has, for example gaap1p0",
        default=None,
    )
    match_radius: float | None = _variable(
        "PHOTOZ_MATCH_RADIUS",
        sets="how far, in arcsec, a redshift may lie from its object; else the release's",
        must_be="a number of arcsec above 0 and at most 5, for example 0.75",
        default=None,
        gt=0,
        le=LARGEST_RADIUS_ARCSEC,
    )
    specz: Annotated[tuple[Path, ...] | None, NoDecode, BeforeValidator(_files)] = _variable(
        "PHOTOZ_SPECZ",
        sets="redshift files, for releases without truth; several with : between them",
        must_be="files on this machine, for example /data/redshifts.parquet",
        default=None,
    )
    tap_url: str | None = _variable(
        "PHOTOZ_TAP_URL",
        sets="TAP base URL, or `https://HOST/repertoire/discovery` to find it; without one, the embedded archive "
        "is asked",
        must_be="an http or https URL, for example https://data.lsst.cloud/api/tap",
        default=None,
        pattern="^(?i:https?)://",
    )
    tap_token: str | None = _variable(
        "PHOTOZ_TAP_TOKEN",
        "ACCESS_TOKEN",
        sets="bearer token, sent to that host alone; else `ACCESS_TOKEN`",
        must_be="a token, for example gt-...",
        default=None,
        repr=False,
    )
    data_dir: Annotated[Path | StoreUrl, BeforeValidator(_lake_place)] = _variable(
        "PHOTOZ_DATA_DIR",
        sets="the lake: tables and figures; of another release by default `data-RELEASE/`",
        must_be=_A_LAKE,
        default_factory=lambda known: _default_lake(release_named(known["release"])),
    )
    work_dir: Annotated[Path, BeforeValidator(_local_folder)] = _folder(
        "PHOTOZ_WORK_DIR",
        ".work",
        sets="scratch of a lake in an object store: staged tables, and copies of those read",
    )
    work_gb: float = _variable(
        "PHOTOZ_WORK_GB",
        sets="the most GB of copies that such a lake keeps there for longer than an hour after their use",
        must_be="a number of GB, at least 0",
        default=50.0,
        ge=0,
    )
    archive_density: float | None = _variable(
        "PHOTOZ_ARCHIVE_DENSITY",
        sets="the embedded sky's share of the real source density; else each release's, 0.01 for `dp02`",
        must_be="a number above 0 and at most 1, for example 0.01",
        default=None,
        gt=0,
        le=1,
    )
    archive_dir: Annotated[Path, BeforeValidator(_local_folder)] = _folder(
        "PHOTOZ_ARCHIVE_DIR", ".archive", sets="the embedded archive's own rows"
    )
    butler_repository: str | None = _variable(
        "PHOTOZ_BUTLER_REPOSITORY",
        sets="a Butler repository: a folder or a server's URL",
        must_be="a folder or a URL, for example https://data.lsst.cloud/api/butler/repo/dp02/butler.yaml",
        default=None,
    )
    refresh_tracts: int = _variable(
        "PHOTOZ_REFRESH_TRACTS",
        sets="the most tracts that one tick of the daily refresh asks for",
        must_be="a number of tracts, at least 1",
        default=300,
        ge=1,
    )
    keep_runs_days: int = _variable(
        "PHOTOZ_KEEP_RUNS_DAYS",
        sets="for how long `forget_runs` keeps runs that others have superseded",
        must_be="a number of days, at least 7: failures of a week count",
        default=90,
        ge=7,
    )
    dagster_home: Annotated[Path, BeforeValidator(_database_folder)] = _folder(
        "DAGSTER_HOME", ".dagster", sets="Dagster's instance: runs, events, schedules"
    )

    def data_dir_of(self, release: Release) -> Path | StoreUrl:
        """Return a release's lake, where several releases are at hand: for others than its own, one beside it."""
        if release.name == self.release:
            return self.data_dir
        if "data_dir" in self.model_fields_set:
            return self.data_dir.with_name(f"{self.data_dir.name}-{release.name}")
        return _default_lake(release)


def settings() -> Settings:
    """Return the settings as the environment has them now.

    Raises
    ------
    SettingError
        A variable makes no sense.
    """
    try:
        return Settings()
    except ValidationError as error:
        raise SettingError(_complaint(error)) from None


def _complaint(error: ValidationError) -> str:
    """Return what is wrong with a variable, in a line that names it."""
    wrong = error.errors(include_url=False)[0]
    # A variable, or the field whose default is wrong.
    where = wrong["loc"][0]
    [(variable, must_be)] = [
        (field.validation_alias.choices[0], field.title)
        for name, field in Settings.model_fields.items()
        if isinstance(field.validation_alias, AliasChoices) and where in {name, *field.validation_alias.choices}
    ]
    why = f": {wrong['ctx']['error']}" if wrong["type"] == "value_error" else ""
    return f"{variable} must be {must_be}; it is {str(wrong['input'])!r}{why}"


def load_env_file(folder: Path) -> None:
    """Take the variables of a folder's ``.env`` file, if there is one, into the environment; what is set stays.

    In the environment they are seen by the processes that this one starts, as well.

    Raises
    ------
    SettingError
        The file is no text.

    Notes
    -----
    Dagster's own commands read the ``.env`` of the current folder too, but let it win over what is set.
    """
    path = folder / ".env"
    try:
        variables = DotEnvSettingsSource(Settings, env_file=path).env_vars
    except UnicodeDecodeError as error:
        raise SettingError(f"{path} is no text in UTF-8: write it anew, a line for each variable") from error
    for name, value in variables.items():
        if value is not None:
            os.environ.setdefault(name, value)


def spare_loopback() -> None:
    """Have no proxy asked for what runs on this machine, by this process and by those that it starts."""
    exceptions = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
    # Nothing may stand beside a star, which is for all hosts.
    if exceptions.strip() != "*":
        exceptions = ",".join([*filter(None, [exceptions]), "127.0.0.1", "localhost", "::1"])
    os.environ["no_proxy"] = os.environ["NO_PROXY"] = exceptions


def release() -> Release:
    """Return the release whose data are asked for, with the photometry and the match that are set.

    Raises
    ------
    SettingError
        A variable makes no sense, or the release has no such photometry.
    """
    found = settings()
    return _release_as_set(found.release, found.photometry, found.match_radius)


@cache
def _release_as_set(name: str, kind: str | None, match_radius_arcsec: float | None) -> Release:
    """Return one and the same object for the same settings: what is made of a release is kept by it."""
    wanted = release_named(name)
    if kind is not None and kind != wanted.objects.photometry.kind:
        try:
            wanted = wanted.measured_by(kind)
        except ValueError as error:
            raise SettingError(
                f"PHOTOZ_PHOTOMETRY must be a kind of flux that the release has; it is {kind!r}: {error}"
            ) from error
    if match_radius_arcsec is not None and wanted.spectroscopic:
        matching = replace(wanted.spectroscopic.matching, radius_arcsec=match_radius_arcsec)
        wanted = replace(wanted, redshifts=replace(wanted.spectroscopic, matching=matching))
    return wanted


def specz() -> tuple[Path, ...]:
    """Return the files of redshifts that are set."""
    return settings().specz or ()


def data_dir() -> Path | StoreUrl:
    """Return the lake's folder, or its place in an object store."""
    return settings().data_dir


def work_dir() -> Path:
    """Return the folder of this machine for what belongs to lakes in object stores."""
    return settings().work_dir


def work_bytes() -> float:
    """Return how many bytes of copies of such lakes' tables each may keep there."""
    return settings().work_gb * 1e9


def archive_dir() -> Path:
    """Return the embedded archive's folder."""
    return settings().archive_dir


def archive_density() -> float | None:
    """Return the embedded sky's share of the real source density, if one is set for all releases."""
    return settings().archive_density


def asks_embedded_archive() -> bool:
    """Return whether the embedded archive is asked: no other is named, or the one that the page's runs share."""
    url = settings().tap_url
    return url is None or url == os.environ.get(SHARED_ARCHIVE)


def tap_url() -> str | None:
    """Return the archive's TAP base URL, if one is set."""
    return settings().tap_url


def tap_token() -> str | None:
    """Return the archive's bearer token, if one is set."""
    return settings().tap_token


def butler_repository() -> str | None:
    """Return the Butler repository, if one is set."""
    return settings().butler_repository


def named_lake(text: str) -> Path | StoreUrl:
    """Return the place of a lake that is named by a text, as the settings have it; ``~`` is home.

    Raises
    ------
    SettingError
        It is no folder on this machine, and nothing in an object store.
    """
    try:
        return _lake_place(text)
    except ValueError as error:
        raise SettingError(f"{text!r} is no folder on this machine, such as /data/photoz: {error}") from None


def has_butler_token() -> bool:
    """Return whether the Butler's client would find a token: it looks into the environment by itself."""
    return any(os.environ.get(name) for name in _BUTLER_TOKENS)


def tokens() -> frozenset[str]:
    """Return the tokens that the environment holds, of whatever service."""
    return frozenset(filter(None, map(os.environ.get, ("PHOTOZ_TAP_TOKEN", *_BUTLER_TOKENS))))
