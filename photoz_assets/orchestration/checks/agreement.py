"""Whether the Butler and TAP agree: a tract's objects beside its matched galaxies.

TAP gives those objects that are matched galaxies inside the cuts, so that each must be among the Butler's, with
the same values. The Butler's other objects have no counterpart.
"""

from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from photoz_assets.lake.audit import SHOWN_ROWS
from photoz_assets.lake.tables import open_tables
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.contracts.butler import object_table_spec
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.expressions import dec_offset_arcsec, ra_offset_arcsec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.rounding import relative_step

AGREES_WITH_TAP: Final = Check(
    name="agrees_with_tap",
    description="Each of TAP's galaxies of the tract is among the Butler's objects, with the same position, "
    "fluxes, errors and flags; a tract that only one door gave is not compared.",
    blocking=False,
)

# A database may have written a position or a flux as text and read it again; what is measured differs by more.
POSITION_LIMIT_ARCSEC: Final = 1e-3
RELATIVE_LIMIT: Final = 1e-9
# What reading a number in single precision changes it by.
SINGLE_LIMIT: Final = 1e-7


def compare_doors(release: Release, objects: Path, galaxies: Path) -> Verdict:
    """Compare the files of a tract's ``object_table`` and ``matched_galaxies``.

    Returns
    -------
    Verdict
        Of the check ``agrees_with_tap``: both counts, how many of TAP's galaxies the Butler lacks, how many differ
        and in which columns, the largest differences, and some of the galaxies that are missing or differ.
    """
    doors = _Doors(release)
    with duckdb.connect() as connection:
        for name, path in (("butler", objects), ("tap", galaxies)):
            open_tables(connection, [path]).create_view(name)
        numbers = doors.numbers(connection)
        rows = doors.shown(connection) if numbers["missing"] or numbers["differing"] else []
    differing = {name: numbers.pop(f"differing_{name}") for name in doors.compared}
    numbers |= {f"differing_{name}": count for name, count in differing.items() if count}
    passed = not numbers["missing"] and not numbers["differing"]
    return Verdict(
        check=AGREES_WITH_TAP.name,
        passed=passed,
        summary=_summary(numbers, [name for name, count in differing.items() if count]),
        numbers=numbers,
        limits={"position_arcsec": POSITION_LIMIT_ARCSEC, "relative": RELATIVE_LIMIT, "columns": doors.compared},
        rows=rows,
    )


def nothing_to_compare(tract: int) -> Verdict:
    """Return the verdict on a tract that is stored from the Butler alone."""
    return Verdict(
        check=AGREES_WITH_TAP.name,
        passed=True,
        summary=f"not compared: TAP has not given tract {tract}; materialize matched_galaxies for it",
        numbers={"galaxies_of_tap": 0},
    )


class _Doors:
    """The SQL that compares a release's galaxies, the view ``tap``, with its objects, the view ``butler``."""

    def __init__(self, release: Release) -> None:
        objects, galaxies = object_table_spec(release), matched_galaxies_spec(release)
        self.compared = tuple(name for name in objects.names if name in galaxies.names)
        self._id, self._key = objects.names[0], release.columns.object_id
        self._digits = release.digits
        self._types = {column.name: column.type for column in objects}
        self._fluxes = [name for name in map(release.columns.flux, BANDS) if name in self.compared]
        ra, dec = release.columns.position
        self._offsets = {
            ra: ra_offset_arcsec(f"b.{ra}", f"t.{ra}", f"t.{dec}"),
            dec: dec_offset_arcsec(f"b.{dec}", f"t.{dec}"),
        }
        self._joined = f'FROM tap AS t LEFT JOIN butler AS b ON b."{self._id}" = t."{self._key}"'
        self._is_missing = f'b."{self._id}" IS NULL'

    def numbers(self, connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
        """Count the galaxies that are missing or differ, and measure by how much."""
        differences = ", ".join(f'max(abs(b."{name}" - t."{name}"))' for name in self._fluxes)
        squares = " + ".join(f"pow({offset}, 2)" for offset in self._offsets.values())
        counted = {
            "galaxies_of_tap": "count(*)",
            "objects_of_butler": "(SELECT count(*) FROM butler)",
            "missing": f"count(*) FILTER (WHERE {self._is_missing})",
            "differing": f"count(*) FILTER (WHERE {' OR '.join(map(self._differs, self.compared))})",
            "largest_flux_difference_njy": f"greatest({differences})",
            "largest_position_difference_arcsec": f"max(sqrt({squares}))",
            **{f"differing_{name}": f"count(*) FILTER (WHERE {self._differs(name)})" for name in self.compared},
        }
        listed = ", ".join(f'{sql} AS "{name}"' for name, sql in counted.items())
        [row] = connection.sql(f"SELECT {listed} {self._joined}").to_arrow_table().to_pylist()
        return dict(row)

    def shown(self, connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
        """Return some galaxies that are missing or differ, one row for each value."""
        differences = " UNION ALL ".join(
            f'SELECT t."{self._key}" AS "objectId", \'{name}\' AS "column", '
            f'CAST(b."{name}" AS VARCHAR) AS "butler", CAST(t."{name}" AS VARCHAR) AS "tap" '
            f"{self._joined} WHERE {self._differs(name)}"
            for name in self.compared
        )
        whole = f"SELECT t.\"{self._key}\", 'the whole row', 'missing', 'there'"
        missing = f"{whole} {self._joined} WHERE {self._is_missing}"
        found = connection.sql(f"{missing} UNION ALL {differences} ORDER BY ALL LIMIT {SHOWN_ROWS}")
        names = ("objectId", "column", "butler", "tap")
        return [dict(zip(names, row, strict=True)) for row in found.fetchall()]

    def _relative_limit(self, name: str) -> float:
        """Return how far, relative to TAP's, values may differ: by what it rounds those of single precision."""
        if pa.types.is_float32(self._types[name]) and self._digits is not None:
            return relative_step(self._digits) + SINGLE_LIMIT
        return RELATIVE_LIMIT

    def _differs(self, name: str) -> str:
        """Return the SQL condition that the two values of a column differ; NULL equals NULL alone."""
        ours, theirs = f'b."{name}"', f't."{name}"'
        if name in self._offsets:
            close = f"abs({self._offsets[name]}) <= {POSITION_LIMIT_ARCSEC}"
        elif pa.types.is_floating(self._types[name]):
            close = f"abs({ours} - {theirs}) <= {self._relative_limit(name)!r} * abs({theirs})"
        else:
            close = "false"
        return f"(NOT {self._is_missing} AND {ours} IS DISTINCT FROM {theirs} AND ({close}) IS NOT TRUE)"


def _summary(numbers: dict[str, Any], columns: list[str]) -> str:
    of = f"of TAP's {numbers['galaxies_of_tap']:,} galaxies"
    among = f"the Butler's {numbers['objects_of_butler']:,} objects"
    if not numbers["missing"] and not numbers["differing"]:
        return f"all {of} are among {among}, with the same values"
    where = f" in {', '.join(columns)}" if columns else ""
    return f"{of}, {numbers['missing']:,} are missing among {among} and {numbers['differing']:,} differ{where}"
