"""Provenance: what a stored file says of where it came from.

It travels as JSON inside the Parquet file's footer.
"""

import hashlib
import json
import platform
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.errors import PhotozError
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.releases import label_of
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.table import TableSpec
from photoz_assets.text import one_line

PROVENANCE_KEY: Final = b"photoz_assets.provenance"
# How an archive declares that its sky is simulated, with which density and seed, within its schema's description.
_SIMULATED: Final = re.compile(r"embedded archive, simulated|\bsimulated\b.*\b(?:density|seed) \d", re.IGNORECASE)
_DENSITY: Final = re.compile(r"\bdensity (\d+(?:\.\d+)?(?:e[-+]?\d+)?)", re.IGNORECASE)
_SEED: Final = re.compile(r"\bseed (\d+)", re.IGNORECASE)

# Of a batch that is read only to be seen: 15 MB of memory, where whole row groups take six times as much.
_VERIFIED_ROWS: Final = 8_192
_VERSIONED: Final = ("photoz_assets", "dagster", "duckdb", "pyarrow", "pyvo")
_ADVICE: Final = "move it elsewhere and materialize its asset again"


class InvalidTableFileError(PhotozError):
    """A file in a table's place is damaged, or was not written by this project."""


@dataclass(frozen=True, kw_only=True)
class ArchiveIdentity:
    """Which archive and release a table is of, by what the archive declares of itself.

    Host and port do not count: the same archive may be reached in several ways. Nor does the wording: archives are
    the same if they declare the same release, and the same simulation or none (``declaration``).
    ``fingerprint`` is a digest of all words that are declared; one that differs tells that something has changed.
    """

    release: str
    description: str
    fingerprint: str

    @classmethod
    def declared(cls, release: str, description: str | None, tables: Mapping[str, str | None]) -> Self:
        """Return the identity for a schema's name and description and its tables' descriptions."""
        text = " ".join((description or "").split())
        facts = [release.lower(), text, *(f"{name.lower()}: {tables[name] or ''}" for name in sorted(tables))]
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
        return cls(release=release, description=one_line(text), fingerprint=digest)

    @property
    def simulated(self) -> bool:
        """Whether the archive declares its sky simulated.

        The word alone does not say so, since descriptions of real data mention simulations: it stands with the
        simulation's density or seed, or after the name of the embedded archive.
        """
        return _is_simulated(self.description)

    @property
    def made_up(self) -> bool:
        """Whether the embedded archive, or one like it, makes the rows up: they are no rows of the release."""
        return _is_made_up(self.description)

    @property
    def density(self) -> float | None:
        """The share of the real source density that a simulated sky declares."""
        found = _DENSITY.search(self.description) if self.simulated else None
        return float(found[1]) if found else None

    @property
    def seed(self) -> int | None:
        """The seed that a simulated sky declares."""
        found = _SEED.search(self.description) if self.simulated else None
        return int(found[1]) if found else None

    @property
    def declaration(self) -> tuple[str, bool, float | None, int | None]:
        """What tells archives apart: the release, whether the sky is simulated, its density and its seed."""
        return self.release.lower(), self.simulated, self.density, self.seed

    @property
    def label(self) -> str:
        """What figures and pages call the data: by what the archive declares, else by its release."""
        return _label(self.release, self.description)

    def __str__(self) -> str:
        about = f": {self.description.rstrip('.')}" if self.description else ""
        return f"{self.release} ({self.fingerprint}){about}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where one stored table came from.

    Rows are counts, ``created`` is UTC in ISO 8601, ``region`` the piece of sky in words where it is no tract.
    ``inputs`` are the identities of the stored tables that it was made of; of a training set in an object store,
    ``input_versions`` are those of their logs, by asset. ``changes_seen`` stands in a listing of
    the sky: for each tract that the archive has changed since the lake's first listing, when that was last seen.
    ``parts`` names query, job and rows of each part, of a table that the archive gave in parts only.
    ``listing`` is of a tract: what the lake's listing of the sky said of it when it was asked for (``freshness``).
    ``repository`` is the Butler repository in words, with what it says of itself, of a table that came from one.
    ``sampling`` is of a training set, and of what is made for one. ``matching`` is how redshifts of other surveys
    were matched; ``redshift_files`` the name, digest, rows, licence and citation of each file that they came in.
    ``estimator`` says of redshifts, in words, what estimated them and what that learnt from.
    ``rights`` and ``citation`` are the release's; rows that the embedded archive made up have none.
    """

    table: str
    code_version: str
    archive: ArchiveIdentity | None = None
    selection: Selection | None = None
    sampling: Sampling | None = None
    matching: Matching | None = None
    tract: int | None = None
    region: str | None = None
    repository: str | None = None
    run_id: str | None = None
    created: str | None = None
    adql: str | None = None
    job_url: str | None = None
    rows_declared: int | None = None
    rows_received: int | None = None
    rows_stored: int | None = None
    bytes_received: int | None = None
    seconds: float | None = None
    inputs: tuple[str, ...] = ()
    input_versions: Mapping[str, int] = field(default_factory=dict)
    parts: tuple[Mapping[str, Any], ...] = ()
    redshift_files: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    changes_seen: Mapping[str, str] = field(default_factory=dict)
    listing: str | None = None
    estimator: str | None = None
    rights: str | None = None
    citation: str | None = None

    @property
    def identity(self) -> str:
        """The table, tract, time and run, by which what is made of a table names it as its input."""
        table = self.table if self.tract is None else f"{self.table} of tract {self.tract}"
        return f"{table}, {self.created}, run {self.run_id}"

    def origin(self, schema: str) -> str:
        """Return what figures call the data of a release, by its schema: as archive or repository declare them."""
        if self.archive:
            return self.archive.label
        return _label(schema, self.repository) if self.repository else "origin unknown"

    def with_rows(self, stored: int) -> Self:
        """Return the same with the number of stored rows."""
        return replace(self, rows_stored=stored)

    def to_dict(self) -> dict[str, Any]:
        """Return the provenance as plain values, without what is unknown."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), {})}

    def to_json(self) -> str:
        """Write the provenance as JSON."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote; what it does not know of is passed over.

        Raises
        ------
        KeyError, TypeError, ValueError, RecursionError
            It makes no sense.
        PhotozError
            The selection, the sampling or the matching makes no sense.
        """
        written: dict[str, Any] = json.loads(text)
        facts = {name: value for name, value in written.items() if name in _KINDS}
        for name, value in facts.items():
            _require_kind(name, value, _KINDS[name])
        moments = [*facts.get("changes_seen", {}).values(), *([facts["created"]] if "created" in facts else [])]
        for moment in moments:
            _require_moment(moment)
        if "archive" in facts:
            facts["archive"] = ArchiveIdentity(**facts["archive"])
        if "selection" in facts:
            facts["selection"] = _selection(json.dumps(facts["selection"]))
        if "sampling" in facts:
            facts["sampling"] = Sampling.from_json(json.dumps(facts["sampling"]))
        if "matching" in facts:
            facts["matching"] = Matching.from_json(json.dumps(facts["matching"]))
        lists = {name: tuple(facts.get(name, ())) for name in ("inputs", "parts", "redshift_files")}
        return cls(**{**facts, **lists})


_KINDS: Final[Mapping[str, type | tuple[type, type]]] = {
    **dict.fromkeys(
        (
            "table",
            "code_version",
            "region",
            "repository",
            "run_id",
            "created",
            "adql",
            "job_url",
            "listing",
            "estimator",
            "rights",
            "citation",
        ),
        str,
    ),
    **dict.fromkeys(("tract", "rows_declared", "rows_received", "rows_stored", "bytes_received"), int),
    **dict.fromkeys(
        ("archive", "selection", "sampling", "matching", "versions", "changes_seen", "input_versions"), dict
    ),
    **dict.fromkeys(("inputs", "parts", "redshift_files"), list),
    "seconds": (int, float),
}
# What the lists and the dictionaries hold.
_ELEMENTS: Final[Mapping[str, type]] = {
    **dict.fromkeys(("archive", "versions", "changes_seen", "inputs"), str),
    **dict.fromkeys(("parts", "redshift_files"), dict),
    "input_versions": int,
}


@lru_cache(maxsize=64)
def _selection(text: str) -> Selection:
    """Return a selection that is written as JSON; of ten thousand tracts it is mostly one."""
    return Selection.from_json(text)


def _require_kind(name: str, value: Any, kind: type | tuple[type, type]) -> None:
    fits = isinstance(value, kind) and not isinstance(value, bool)
    if fits and isinstance(value, dict | list):
        element = _ELEMENTS.get(name, object)
        fits = all(isinstance(each, element) for each in (value.values() if isinstance(value, dict) else value))
    if not fits:
        raise TypeError(f"{name} is {type(value).__name__}")


def _require_moment(text: str) -> None:
    if datetime.fromisoformat(text).tzinfo is None:
        raise ValueError(f"{text} has no time zone")


def derived_provenance(
    spec: TableSpec,
    *,
    run_id: str,
    source: Provenance,
    tract: int | None = None,
    region: str | None = None,
    inputs: Iterable[Provenance] = (),
    input_versions: Mapping[str, int] | None = None,
    sampling: Sampling | None = None,
    estimator: str | None = None,
) -> Provenance:
    """Return the provenance of a table computed from stored ones, with the archive and selection of ``source``."""
    return Provenance(
        table=spec.table,
        code_version=spec.code_version,
        archive=source.archive,
        selection=source.selection,
        sampling=sampling,
        estimator=estimator,
        tract=tract,
        region=region,
        matching=source.matching,
        redshift_files=source.redshift_files,
        rights=source.rights,
        citation=source.citation,
        run_id=run_id,
        inputs=tuple(each.identity for each in inputs),
        input_versions=dict(input_versions or {}),
        **run_versions(),
    )


def _is_made_up(description: str) -> bool:
    return "embedded archive" in description.lower()


def _is_simulated(description: str) -> bool:
    return _SIMULATED.search(description) is not None


def _label(schema: str, description: str) -> str:
    if _is_made_up(description):
        return "embedded archive, simulated"
    name = label_of(schema)
    return f"{name}, simulated" if _is_simulated(description) else name


def rights_of(release: Release, description: str) -> dict[str, Any]:
    """Return a release's rights and citation as keywords of ``Provenance``.

    Rows that are made up have none: ``description`` is what the archive or the repository says of itself.
    """
    return {} if _is_made_up(description) else {"rights": release.rights, "citation": release.citation}


def repository_provenance(
    spec: TableSpec, release: Release, *, run_id: str, repository: str, tract: int | None = None
) -> Provenance:
    """Return the provenance of a table that was read from a Butler repository.

    It names no archive identity: a repository declares nothing that could be compared with TAP's declaration.
    """
    return Provenance(
        table=spec.table,
        code_version=spec.code_version,
        repository=repository,
        tract=tract,
        run_id=run_id,
        **rights_of(release, repository),
        **run_versions(),
    )


def run_versions() -> dict[str, Any]:
    """Return when, and with which versions, a table is made, as keywords of ``Provenance``."""
    versions = {name: version(name) for name in _VERSIONED} | {"python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "versions": versions}


@dataclass(frozen=True, kw_only=True)
class Footer:
    """What a stored file's footer says: where the table came from, and its columns with their units."""

    provenance: Provenance
    schema: pa.Schema


def read_footer(path: Path) -> Footer:
    """Read a stored file's footer.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InvalidTableFileError
        The file is damaged, cannot be read, is no regular file, or was not written by this project.
    """
    metadata, schema = read_metadata(path)
    return Footer(provenance=provenance_in(path, metadata), schema=schema)


def read_metadata(path: Path) -> tuple[pq.FileMetaData, pa.Schema]:
    """Read a stored file's footer as Parquet has it, and the file's columns.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InvalidTableFileError
        The file is damaged, cannot be read or is no regular file.
    """
    metadata = _metadata(path)
    with damage_errors(path):
        return metadata, metadata.schema.to_arrow_schema()


def read_provenance(path: Path) -> Provenance:
    """Read where a stored file came from; raises as ``read_footer``."""
    return provenance_in(path, _metadata(path))


def carried_provenance(table: pa.Table) -> Provenance:
    """Return where the rows of a stored file came from, of the table that was read from it.

    Raises
    ------
    InvalidTableFileError
        The table carries no provenance that makes sense.
    """
    return parse_provenance("the table", (table.schema.metadata or {}).get(PROVENANCE_KEY))


def read_rows(path: Path, columns: Sequence[str] | None = None) -> pa.Table:
    """Read columns of a stored file, by default all, holding their pages against their checksums.

    Raises
    ------
    FileNotFoundError, InvalidTableFileError
        As ``verify_rows``.
    """
    require_regular(path)
    with damage_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        return file.read(columns=columns)


def verify_rows(path: Path) -> Footer:
    """Read all of a stored file, footer and rows, holding its pages against their checksums.

    Files of versions without checksums are only seen to be readable. DuckDB looks at no checksum.

    Raises
    ------
    FileNotFoundError, InvalidTableFileError
        As ``read_footer``, also if rows are damaged.
    """
    footer = read_footer(path)
    with damage_errors(path), pq.ParquetFile(path, page_checksum_verification=True, pre_buffer=False) as file:
        for _ in file.iter_batches(_VERIFIED_ROWS):
            pass
    return footer


def require_regular(path: Path) -> None:
    """Refuse what no table can be: who opened a pipe would wait for ever.

    Raises
    ------
    InvalidTableFileError
        Something else than a file lies there, or this account may not look.
    FileNotFoundError
        Nothing lies there.
    """
    with damage_errors(path):
        if not path.is_file():
            path.lstat()
            raise InvalidTableFileError(f"{path} is no regular file: {_ADVICE}")


def _metadata(path: Path) -> pq.FileMetaData:
    require_regular(path)
    with damage_errors(path):
        return pq.read_metadata(path)


def provenance_in(path: Path, metadata: pq.FileMetaData) -> Provenance:
    """Return the provenance in a file's footer; raises as ``parse_provenance``."""
    return parse_provenance(str(path), (metadata.metadata or {}).get(PROVENANCE_KEY))


def parse_provenance(name: str, written: bytes | None) -> Provenance:
    """Return the provenance that is written in the metadata of what is called by a name.

    Raises
    ------
    InvalidTableFileError
        There is none, or none that makes sense.
    """
    if written is None:
        raise InvalidTableFileError(
            f"{name} carries no provenance, so that it was not written by photoz_assets: {_ADVICE}"
        )
    try:
        return Provenance.from_json(written.decode())
    except (AttributeError, KeyError, TypeError, ValueError, RecursionError, PhotozError) as error:
        raise InvalidTableFileError(f"{name} carries a provenance that makes no sense: {_ADVICE}") from error


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged Parquet file into an error that names the file and what to do.

    Raises
    ------
    InvalidTableFileError
        The file is damaged, or this account may not read it. An error of the disk stays as it is.
    """
    try:
        yield
    except PermissionError as error:
        raise InvalidTableFileError(
            f"{path} cannot be read ({error.strerror}): let this account read it"
        ) from error
    except (pa.ArrowException, UnicodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidTableFileError(f"{path} is no whole Parquet file: {_ADVICE}") from error
