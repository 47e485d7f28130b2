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
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.contracts import MATCHED_GALAXIES, OBJECT_TABLE
from photoz_assets.survey.expressions import dec_offset_arcsec, ra_offset_arcsec

AGREES_WITH_TAP: Final = Check(
    name="agrees_with_tap",
    description="Each of TAP's galaxies of the tract is among the Butler's objects, with the same position, "
    "fluxes, errors and flags; a tract that only one door gave is not compared.",
    blocking=False,
)

# A database may have written a position or a flux as text and read it again; what is measured differs by more.
POSITION_LIMIT_ARCSEC: Final = 1e-3
RELATIVE_LIMIT: Final = 1e-9

_POSITION: Final = ("obj_coord_ra", "obj_coord_dec")
_COMPARED: Final = tuple(name for name in OBJECT_TABLE.names if name in MATCHED_GALAXIES.names)
_FLUXES: Final = tuple(name for name in _COMPARED if name.endswith("_cModelFlux"))
_OFFSETS: Final = {
    "obj_coord_ra": ra_offset_arcsec("b.obj_coord_ra", "t.obj_coord_ra", "t.obj_coord_dec"),
    "obj_coord_dec": dec_offset_arcsec("b.obj_coord_dec", "t.obj_coord_dec"),
}


def compare_doors(objects: Path, galaxies: Path) -> Verdict:
    """Compare the files of a tract's ``object_table`` and ``matched_galaxies``.

    Returns
    -------
    Verdict
        Of the check ``agrees_with_tap``: both counts, how many of TAP's galaxies the Butler lacks, how many differ
        and in which columns, the largest differences, and some of the galaxies that are missing or differ.
    """
    with duckdb.connect() as connection:
        for name, path in (("butler", objects), ("tap", galaxies)):
            open_tables(connection, [path]).create_view(name)
        numbers = _numbers(connection)
        rows = _shown(connection) if numbers["missing"] or numbers["differing"] else []
    differing = {name: numbers.pop(f"differing_{name}") for name in _COMPARED}
    numbers |= {f"differing_{name}": count for name, count in differing.items() if count}
    passed = not numbers["missing"] and not numbers["differing"]
    return Verdict(
        check=AGREES_WITH_TAP.name,
        passed=passed,
        summary=_summary(numbers, [name for name, count in differing.items() if count]),
        numbers=numbers,
        limits={"position_arcsec": POSITION_LIMIT_ARCSEC, "relative": RELATIVE_LIMIT, "columns": _COMPARED},
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


_JOINED: Final = 'FROM tap AS t LEFT JOIN butler AS b ON b."obj_objectId" = t."mt_match_objectId"'
_IS_MISSING: Final = 'b."obj_objectId" IS NULL'


def _differs(name: str) -> str:
    """Return the SQL condition that the two values of a column differ; NULL equals NULL alone."""
    ours, theirs = f'b."{name}"', f't."{name}"'
    if name in _POSITION:
        close = f"abs({_OFFSETS[name]}) <= {POSITION_LIMIT_ARCSEC}"
    elif pa.types.is_floating(OBJECT_TABLE.schema.field(name).type):
        close = f"abs({ours} - {theirs}) <= {RELATIVE_LIMIT} * abs({theirs})"
    else:
        close = "false"
    return f"(NOT {_IS_MISSING} AND {ours} IS DISTINCT FROM {theirs} AND ({close}) IS NOT TRUE)"


def _any_differs() -> str:
    return " OR ".join(_differs(name) for name in _COMPARED)


def _numbers(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    differences = ", ".join(f'max(abs(b."{name}" - t."{name}"))' for name in _FLUXES)
    largest_offset = f"max(sqrt(pow({_OFFSETS['obj_coord_ra']}, 2) + pow({_OFFSETS['obj_coord_dec']}, 2)))"
    counted = {
        "galaxies_of_tap": "count(*)",
        "objects_of_butler": "(SELECT count(*) FROM butler)",
        "missing": f"count(*) FILTER (WHERE {_IS_MISSING})",
        "differing": f"count(*) FILTER (WHERE {_any_differs()})",
        "largest_flux_difference_njy": f"greatest({differences})",
        "largest_position_difference_arcsec": largest_offset,
        **{f"differing_{name}": f"count(*) FILTER (WHERE {_differs(name)})" for name in _COMPARED},
    }
    listed = ", ".join(f'{sql} AS "{name}"' for name, sql in counted.items())
    [row] = connection.sql(f"SELECT {listed} {_JOINED}").to_arrow_table().to_pylist()
    return dict(row)


def _shown(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Return some galaxies that are missing or differ, one row for each value."""
    differences = " UNION ALL ".join(
        f'SELECT t."mt_match_objectId" AS "objectId", \'{name}\' AS "column", '
        f'CAST(b."{name}" AS VARCHAR) AS "butler", CAST(t."{name}" AS VARCHAR) AS "tap" '
        f"{_JOINED} WHERE {_differs(name)}"
        for name in _COMPARED
    )
    missing = f"SELECT t.\"mt_match_objectId\", 'the whole row', 'missing', 'there' {_JOINED} WHERE {_IS_MISSING}"
    found = connection.sql(f"{missing} UNION ALL {differences} ORDER BY ALL LIMIT {SHOWN_ROWS}")
    names = ("objectId", "column", "butler", "tap")
    return [dict(zip(names, row, strict=True)) for row in found.fetchall()]


def _summary(numbers: dict[str, Any], columns: list[str]) -> str:
    of = f"of TAP's {numbers['galaxies_of_tap']:,} galaxies"
    among = f"the Butler's {numbers['objects_of_butler']:,} objects"
    if not numbers["missing"] and not numbers["differing"]:
        return f"all {of} are among {among}, with the same values"
    where = f" in {', '.join(columns)}" if columns else ""
    return f"{of}, {numbers['missing']:,} are missing among {among} and {numbers['differing']:,} differ{where}"
