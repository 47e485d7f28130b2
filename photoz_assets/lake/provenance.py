"""Provenance: what a stored file says of where it came from, and in which units its columns are.

It travels inside the Parquet file: as JSON for us, and as the VOTable header of the VOParquet convention
(IVOA Note "VOParquet" 1.0), by which TOPCAT, STILTS and astropy show units and UCDs.
"""

import hashlib
import json
import platform
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self
from xml.etree import ElementTree as ET

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_assets.errors import PhotozError
from photoz_assets.survey.contracts import Column, Contract
from photoz_assets.survey.selection import Selection
from photoz_assets.text import one_line

PROVENANCE_KEY: Final = b"photoz_assets.provenance"
_VOTABLE_KEY: Final = b"IVOA.VOTable-Parquet.content"
_VOTABLE_VERSION_KEY: Final = b"IVOA.VOTable-Parquet.version"
_VOTABLE_NAMESPACE: Final = "http://www.ivoa.net/xml/VOTable/v1.3"
_VERSIONED: Final = ("photoz_assets", "dagster", "duckdb", "pyarrow", "pyvo")
_ADVICE: Final = "move it elsewhere and materialize its asset again"

_VOTABLE_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "char",
    pa.list_(pa.int64()): "long",
    pa.list_(pa.float64()): "double",
}


class InvalidTableFileError(PhotozError):
    """A file in a table's place is damaged, or was not written by this project."""


@dataclass(frozen=True, kw_only=True)
class ArchiveIdentity:
    """Which archive and release a table is of, by what the archive declares of itself.

    Host and port do not count: the same archive may be reached in several ways.
    """

    release: str
    description: str
    fingerprint: str

    @classmethod
    def declared(cls, release: str, description: str | None, tables: Mapping[str, str | None]) -> Self:
        """Make an identity of a schema's name and description and of its tables' descriptions."""
        text = " ".join((description or "").split())
        facts = [release.lower(), text, *(f"{name.lower()}: {tables[name] or ''}" for name in sorted(tables))]
        digest = hashlib.sha256("\n".join(facts).encode()).hexdigest()[:12]
        return cls(release=release, description=one_line(text), fingerprint=digest)

    @property
    def label(self) -> str:
        """What figures and pages call the data; the word comes from the archive's own description.

        Every archive with truth tables is a simulation: DP0.2 is the DC2 simulation.
        """
        words = self.description.lower()
        if "embedded archive" in words:
            return "embedded archive, simulated"
        return "DC2 simulation"

    def __str__(self) -> str:
        about = f": {self.description.rstrip('.')}" if self.description else ""
        return f"{self.release} ({self.fingerprint}){about}"


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where one stored table came from.

    Rows are counts, ``created`` is UTC in ISO 8601, ``region`` the piece of sky in words where it is no tract.
    ``inputs`` are the identities of the stored tables that it was made of. ``changes_seen`` stands in a listing of
    the sky: for each tract that the archive has changed since the lake's first listing, when that was last seen.
    ``parts`` names query, job and rows of each part, of a table that the archive gave in parts only.
    ``repository`` is the Butler repository in words, with what it says of itself, of a table that came from one.
    """

    table: str
    code_version: str
    archive: ArchiveIdentity | None = None
    selection: Selection | None = None
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
    parts: tuple[Mapping[str, Any], ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict)
    changes_seen: Mapping[str, str] = field(default_factory=dict)

    @property
    def identity(self) -> str:
        """The table, tract, time and run, by which what is made of a table names it as its input."""
        table = self.table if self.tract is None else f"{self.table} of tract {self.tract}"
        return f"{table}, {self.created}, run {self.run_id}"

    def with_rows(self, stored: int) -> Self:
        """Give the same with the number of stored rows."""
        return replace(self, rows_stored=stored)

    def to_dict(self) -> dict[str, Any]:
        """Give the provenance as plain values, without what is unknown."""
        return {name: value for name, value in asdict(self).items() if value not in (None, (), {})}

    def to_json(self) -> str:
        """Write the provenance as JSON."""
        return json.dumps(self.to_dict(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        facts: dict[str, Any] = json.loads(text)
        if "archive" in facts:
            facts["archive"] = ArchiveIdentity(**facts["archive"])
        if "selection" in facts:
            facts["selection"] = Selection.from_json(json.dumps(facts["selection"]))
        lists = {name: tuple(facts.get(name, ())) for name in ("inputs", "parts")}
        return cls(**{**facts, **lists})


def derived_provenance(
    contract: Contract,
    *,
    code_version: str,
    run_id: str,
    source: Provenance,
    tract: int | None = None,
    region: str | None = None,
    inputs: Iterable[Provenance] = (),
) -> Provenance:
    """Return the provenance of a table computed from stored ones, with the archive and selection of ``source``."""
    return Provenance(
        table=contract.table,
        code_version=code_version,
        archive=source.archive,
        selection=source.selection,
        tract=tract,
        region=region,
        run_id=run_id,
        inputs=tuple(each.identity for each in inputs),
        **run_versions(),
    )


def repository_provenance(
    contract: Contract, *, code_version: str, run_id: str, repository: str, tract: int | None = None
) -> Provenance:
    """Return the provenance of a table that was read from a Butler repository.

    It names no archive identity: a repository declares nothing that could be compared with TAP's declaration.
    """
    return Provenance(
        table=contract.table,
        code_version=code_version,
        repository=repository,
        tract=tract,
        run_id=run_id,
        **run_versions(),
    )


def run_versions() -> dict[str, Any]:
    """Return when, and with which versions, a table is made, as keywords of ``Provenance``."""
    versions = {name: version(name) for name in _VERSIONED} | {"python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "versions": versions}


def read_provenance(path: Path) -> Provenance:
    """Read the provenance of a stored file from its footer.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    InvalidTableFileError
        The file is damaged, or was not written by this project.
    """
    with damage_errors(path):
        metadata = pq.read_metadata(path).metadata or {}
    if PROVENANCE_KEY not in metadata:
        raise InvalidTableFileError(
            f"{path} carries no provenance, so that it was not written by photoz_assets: {_ADVICE}"
        )
    try:
        return Provenance.from_json(metadata[PROVENANCE_KEY].decode())
    except (AttributeError, KeyError, TypeError, ValueError, PhotozError) as error:
        raise InvalidTableFileError(f"{path} carries a provenance that makes no sense: {_ADVICE}") from error


@contextmanager
def damage_errors(path: Path) -> Iterator[None]:
    """Turn what Arrow says of a damaged Parquet file into an error that names the file and what to do.

    Raises
    ------
    InvalidTableFileError
        The file is damaged. An error of the disk, which has a number, stays as it is.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise InvalidTableFileError(f"{path} is no whole Parquet file: {_ADVICE}") from error


def file_metadata(contract: Contract, provenance: Provenance, lengths: Mapping[str, int]) -> dict[str, str]:
    """Make the key-value metadata of a stored Parquet file.

    ``lengths`` gives each text column's longest value in characters: astropy's reader of VOParquet wants texts
    of a fixed size.
    """
    return {
        PROVENANCE_KEY.decode(): provenance.to_json(),
        _VOTABLE_VERSION_KEY.decode(): "1.0",
        _VOTABLE_KEY.decode(): _votable_header(contract, provenance, lengths),
    }


def _votable_header(contract: Contract, provenance: Provenance, lengths: Mapping[str, int]) -> str:
    """Describe the columns as a VOTable without data (VOTable 1.4 sec. 4; VOParquet sec. 2)."""
    root = ET.Element("VOTABLE", {"version": "1.4", "xmlns": _VOTABLE_NAMESPACE})
    resource = ET.SubElement(root, "RESOURCE", {"type": "results"})
    if provenance.archive is not None:
        ET.SubElement(resource, "DESCRIPTION").text = provenance.archive.label
    elif provenance.repository is not None:
        ET.SubElement(resource, "DESCRIPTION").text = provenance.repository
    table = ET.SubElement(resource, "TABLE", {"name": contract.table})
    if provenance.rows_stored is not None:
        table.set("nrows", str(provenance.rows_stored))
    for column in contract:
        _votable_field(table, column, lengths.get(column.name))
    return ET.tostring(root, encoding="unicode")


def _votable_field(table: ET.Element, column: Column, length: int | None) -> None:
    attributes = {"name": column.name, "datatype": _VOTABLE_TYPES[column.type]}
    if length is not None:
        attributes["arraysize"] = str(max(length, 1))
    elif pa.types.is_list(column.type):
        attributes["arraysize"] = "*"
    attributes |= {key: value for key, value in (("unit", column.unit), ("ucd", column.ucd)) if value}
    element = ET.SubElement(table, "FIELD", attributes)
    ET.SubElement(element, "DESCRIPTION").text = column.description
