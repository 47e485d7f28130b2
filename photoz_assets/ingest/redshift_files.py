"""The user's files of redshifts: read in the format that they are in, and made into rows of ``specz``.

What makes no sense in a row refuses the row, for a reason that is counted; what makes no sense of a file refuses
it all, in one line.
"""

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from photoz_assets.errors import PhotozError
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.redshift_files import (
    GRADES,
    REDSHIFT_TYPES,
    SPECTRAL_CLASSES,
    STAR,
    STAR_GRADE,
    RedshiftColumns,
)
from photoz_assets.survey.releases.release import Release

# All redshifts that there are, some millions, fit several times.
MOST_BYTES: Final = 4 << 30
_LARGEST_REDSHIFT: Final = 20
_HOURS: Final = frozenset({"h", "hr", "hour", "hours", "hourangle"})
_HASHED_BYTES: Final = 1 << 20


class RedshiftFileError(PhotozError):
    """A file of redshifts cannot be read, or is not what it should be; the text names it and says what to do."""


@dataclass(frozen=True, kw_only=True)
class RedshiftFiles:
    """Which files to read, and what they do not say themselves.

    Attributes
    ----------
    paths
        CSV, FITS, VOTable or Parquet, by their names' endings.
    columns
        The names of their columns.
    redshift_type, grade
        Of all their redshifts, where they have no such column; None where they have.
    licence, citation
        Who may have them, and what to cite for them.
    """

    paths: tuple[Path, ...]
    columns: RedshiftColumns = field(default_factory=RedshiftColumns)
    redshift_type: str | None = None
    grade: int | None = None
    licence: str = ""
    citation: str = ""


@dataclass(frozen=True, kw_only=True)
class Redshifts:
    """Rows of ``specz``: how many came, how many were refused, by the first reason, and the files they are of."""

    rows: pa.Table
    came: int
    refused: Mapping[str, int]
    files: tuple[Mapping[str, Any], ...]


def read_redshifts(files: RedshiftFiles, release: Release) -> Redshifts:
    """Read files of redshifts.

    Parameters
    ----------
    files
        Which, and how to read them.
    release
        In whose tracts some of them must lie.

    Raises
    ------
    RedshiftFileError
        A file is not there, cannot be read, is empty or too large, lacks a column that is needed, or has positions
        in other units.
    """
    tables = [_read(path, files) for path in files.paths]
    all_rows = pa.concat_tables(tables)
    _require_in_survey(files.paths, all_rows, release)
    with duckdb.connect() as connection:
        connection.register("files", all_rows.append_column("place", pa.array(range(all_rows.num_rows))))
        [came, *refused] = connection.sql(
            f"SELECT {', '.join(['count(*)', *_counted()])} FROM ({_NUMBERED})"
        ).fetchall()[0]
        good = " AND ".join(f"({condition})" for condition in _REASONS.values())
        kept = f"SELECT * FROM ({_NUMBERED}) WHERE {good} ORDER BY place"
        rows = connection.sql(f"SELECT {', '.join(_VALUES)} FROM ({kept})").to_arrow_table()
    counts = dict(zip(_REASONS, refused, strict=True))
    if not rows.num_rows:
        found = ", ".join(f"{number:,} {reason}" for reason, number in counts.items() if number)
        raise RedshiftFileError(f"{_named(files.paths)}: none of {came:,} rows is a redshift: {found}")
    return Redshifts(
        rows=rows.cast(SPECZ.schema),
        came=came,
        refused=counts,
        files=tuple(
            {
                "name": path.name,
                "sha256": _digest(path),
                "bytes": path.stat().st_size,
                "rows": table.num_rows,
                "licence": files.licence,
                "citation": files.citation,
            }
            for path, table in zip(files.paths, tables, strict=True)
        ),
    )


_NUMBERED: Final = "SELECT *, row_number() OVER (PARTITION BY row_id ORDER BY place) AS occurrence FROM files"

_ALL_GRADES: Final = ", ".join(str(grade) for grade in (*GRADES, STAR_GRADE))
_ALL_TYPES: Final = ", ".join(f"'{name}'" for name in REDSHIFT_TYPES)

# What a row must satisfy, in SQL, by the words for one that does not. Each decides: none of them is NULL.
_REASONS: Final[Mapping[str, str]] = {
    "without a position": "coalesce(isfinite(ra) AND isfinite(dec), false)",
    "with a position that is none": "ra BETWEEN 0 AND 360 AND dec BETWEEN -90 AND 90",
    "without a redshift": "coalesce(isfinite(redshift), false)",
    "with a negative redshift": "redshift >= 0",
    f"with a redshift above {_LARGEST_REDSHIFT}": f"redshift <= {_LARGEST_REDSHIFT}",
    "with a negative error": "coalesce(redshift_error, 0) >= 0 OR isnan(redshift_error)",
    "of an unknown type": f"coalesce(lower(trim(redshift_type)) IN ({_ALL_TYPES}), false)",
    "of an unknown grade": f"grade IS NULL OR isnan(grade) OR grade IN ({_ALL_GRADES})",
    "of a name that was there": "occurrence = 1",
}

_SPECTRAL: Final = "upper(trim(spectral_class))"
_KNOWN: Final = ", ".join(f"'{name}'" for name in SPECTRAL_CLASSES)
_AS_SAID: Final = f"WHEN {_SPECTRAL} IN ({_KNOWN}) THEN {_SPECTRAL}"
_VALUES: Final = (
    "row_id AS sz_id",
    "ra AS sz_ra",
    "dec AS sz_dec",
    "redshift AS sz_redshift",
    "CASE WHEN isfinite(redshift_error) THEN redshift_error END AS sz_redshift_err",
    "lower(trim(redshift_type)) AS sz_type",
    "CASE WHEN isfinite(grade) THEN grade ELSE 0 END::INTEGER AS sz_grade",
    "survey AS sz_survey",
    f"CASE WHEN grade = {STAR_GRADE} THEN '{STAR}' {_AS_SAID} END AS sz_class",
)


def _counted() -> list[str]:
    """Return aggregates that count each row that is refused under its first reason."""
    counted, passed = [], "true"
    for condition in _REASONS.values():
        counted.append(f"count(*) FILTER (WHERE {passed} AND ({condition}) IS NOT TRUE)")
        passed += f" AND ({condition}) IS TRUE"
    return counted


_KINDS: Final[Mapping[str, pa.DataType]] = {
    "row_id": pa.string(),
    "ra": pa.float64(),
    "dec": pa.float64(),
    "redshift": pa.float64(),
    "redshift_error": pa.float64(),
    "redshift_type": pa.string(),
    "grade": pa.float64(),
    "survey": pa.string(),
    "spectral_class": pa.string(),
}
_SEXAGESIMAL: Final = re.compile(r"\s*[+-]?\d{1,3}[:hd\s]\s*\d{1,2}[:m'\s]")
_NEEDED: Final = ("ra", "dec", "redshift", "redshift_type", "grade")


def _read(path: Path, files: RedshiftFiles) -> pa.Table:
    """Read a file's columns by their roles, in the types of ``_KINDS``; what it has not is said or NULL."""
    names: dict[str, str] = asdict(files.columns)
    table = _read_columns(path, list(names.values()))
    if not table.num_rows:
        raise RedshiftFileError(f"{path} has no rows")
    said_of_all = {"redshift_type": files.redshift_type, "grade": files.grade}
    for role in _NEEDED:
        if names[role] not in table.column_names and said_of_all.get(role) is None:
            also = f", or say {role} for all of its rows" if role in said_of_all else ""
            raise RedshiftFileError(
                f"{path} has no column {names[role]} for the {role.replace('_', ' ')}: name its own in the "
                f"configuration of specz (columns){also}"
            )
    return pa.table(
        {
            role: _cast(path, names[role], table.column(names[role]), kind)
            if names[role] in table.column_names
            else _said(path, role, said_of_all.get(role), table.num_rows, kind)
            for role, kind in _KINDS.items()
        }
    )


def _read_columns(path: Path, names: Sequence[str]) -> pa.Table:
    """Read a file in its format, at least those of some columns that it has."""
    form = path.suffix.lower()
    if form not in _READERS:
        raise RedshiftFileError(f"{path}: the name of a file of redshifts ends in {', '.join(_READERS)}")
    try:
        _require_size(path)
        return _READERS[form](path, names)
    except OSError as error:
        raise RedshiftFileError(f"{path} cannot be read: {error.strerror or _first_line(error)}") from error
    except (ValueError, IndexError, KeyError, TypeError, pa.ArrowException) as error:
        raise RedshiftFileError(f"{path} cannot be read as {form[1:]}: {_first_line(error)}") from error


def _require_size(path: Path) -> None:
    if not path.is_file():
        # Of what is not there, the system says so.
        path.stat()
        raise RedshiftFileError(f"{path} is no file: name the files of redshifts themselves")
    size = path.stat().st_size
    if not size:
        raise RedshiftFileError(f"{path} is empty")
    if size > MOST_BYTES:
        raise RedshiftFileError(
            f"{path} has {size / 2**30:.1f} GiB, more than {MOST_BYTES >> 30}: leave its other columns out"
        )


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _said(path: Path, role: str, value: object, rows: int, kind: pa.DataType) -> "pa.Array[Any]":
    """Return a column that the file does not have."""
    if role == "row_id":
        return pa.array([f"{path.stem}:{number}" for number in range(1, rows + 1)], kind)
    if role == "survey":
        value = path.stem
    return pa.repeat(pa.scalar(value, kind), rows)


def _cast(path: Path, name: str, values: "pa.ChunkedArray[Any]", kind: pa.DataType) -> "pa.ChunkedArray[Any]":
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    if pa.types.is_string(kind) and pa.types.is_floating(values.type):
        # Names that are numbers have become floating ones where some are missing.
        values = values.cast(pa.int64(), safe=False)
    try:
        return values.cast(kind)
    except pa.ArrowException as error:
        wrong = next((str(value) for value in values.to_pylist() if not _is_number(value)), "")
        if _SEXAGESIMAL.match(wrong):
            raise RedshiftFileError(
                f"{path}: the column {name} is sexagesimal, {wrong!r}: give degrees"
            ) from error
        raise RedshiftFileError(f"{path}: the column {name} holds {wrong!r}, which is no number") from error


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return value is None
    return True


def _read_csv(path: Path, names: Sequence[str]) -> pa.Table:  # noqa: ARG001 - columns that are not there are an error
    # A mark at the beginning that says which encoding this is, is passed over.
    return pyarrow.csv.read_csv(path)


def _read_parquet(path: Path, names: Sequence[str]) -> pa.Table:
    with pq.ParquetFile(path) as file:
        there = [name for name in names if name in file.schema_arrow.names]
        return file.read(columns=there or None)


def _read_by_astropy(path: Path, names: Sequence[str]) -> pa.Table:
    """Read a table of FITS or VOTable; units other than degrees are refused."""
    from astropy.table import Table  # noqa: PLC0415 - half a second, for who has such files

    form = "fits" if path.suffix.lower() in {".fits", ".fit"} else "votable"
    read = Table.read(path, format=form)
    columns = {}
    for name in [each for each in names if each in read.colnames] or read.colnames:
        column = read[name]
        if str(column.unit or "").lower() in _HOURS:
            raise RedshiftFileError(f"{path}: the column {name} is in hours: give degrees")
        data, mask = np.asarray(np.ma.getdata(column)), np.array(np.ma.getmaskarray(column))
        if data.ndim == 1:
            # Arrow takes the byte order of this machine alone.
            data = data.astype(str) if data.dtype.kind in "SO" else data.astype(data.dtype.newbyteorder("="))
            columns[name] = pa.array(data, mask=mask)
    return pa.table(columns)


_READERS: Final[Mapping[str, Callable[[Path, Sequence[str]], pa.Table]]] = {
    ".csv": _read_csv,
    ".fits": _read_by_astropy,
    ".fit": _read_by_astropy,
    ".vot": _read_by_astropy,
    ".xml": _read_by_astropy,
    ".parquet": _read_parquet,
}


def _require_in_survey(paths: Iterable[Path], rows: pa.Table, release: Release) -> None:
    """Refuse positions of which none lies in the release's tracts, with what they may be instead."""
    ra, dec = (rows.column(name).to_numpy() for name in ("ra", "dec"))

    def inside(longitude: Any, latitude: Any) -> int:
        # A comparison with what is no number is false.
        there = (np.abs(latitude) <= 90) & (np.abs(longitude) <= 360)  # noqa: PLR2004 - degrees of the sphere
        return int(np.isin(release.skymap.tract_of(longitude[there], latitude[there]), release.tracts).sum())

    if inside(ra, dec):
        return
    guesses = {
        "right ascension in hours": inside(15 * ra, dec),
        "right ascension and declination swapped": inside(dec, ra),
    }
    guess = max(guesses, key=lambda words: guesses[words])
    why = f"; {guesses[guess]:,} do if it is {guess}" if guesses[guess] else ""
    raise RedshiftFileError(
        f"{_named(paths)}: none of {rows.num_rows:,} positions lies in a tract of {release.title}{why}"
    )


def _named(paths: Iterable[Path]) -> str:
    return ", ".join(map(str, paths))


def _digest(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_HASHED_BYTES):
            digest.update(block)
    return digest.hexdigest()
