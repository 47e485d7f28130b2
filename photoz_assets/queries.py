"""The ADQL that is sent to the archive: text built from contracts, selection and region, and nothing else.

Rubin's Qserv prunes by exactly one area predicate with literal arguments; equality on ``tract`` alone scans
everything. So each query over a tract has one area predicate for speed, and ``tract`` for exactness.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from photoz_assets.contracts import (
    MATCHED_GALAXIES,
    SKYINFO,
    TABLE_ALIASES,
    TAP_COLUMNS,
    TAP_TABLES,
    Contract,
)
from photoz_assets.science.skymap import DC2
from photoz_assets.selection import Condition, Selection

BOX_FUNCTION: Final = "scisql_s2PtInBox"


@dataclass(frozen=True, kw_only=True)
class Dialect:
    """What of ADQL a service has, as far as the queries depend on it; the defaults are Rubin's.

    Attributes
    ----------
    box_function
        Whether it offers ``scisql_s2PtInBox``; else the area is a standard ``CONTAINS`` circle.
    text_flags
        Whether flags are compared with a text: ADQL 2.0 knows no booleans, and a database that does (PostgreSQL)
        compares them with no number.
    """

    box_function: bool = True
    text_flags: bool = False


# The farthest corner of an inner region of the DC2 skymap lies 1.05 deg from its tract's centre.
TRACT_RADIUS_DEG: Final = 1.06

_BOX_DIGITS: Final = 8


def matched_galaxies_query(tract: int, selection: Selection, dialect: Dialect) -> str:
    """Build the triple join over one tract.

    Parameters
    ----------
    tract
        A tract of the DC2 skymap.
    selection
        The cuts.
    dialect
        The service's.
    """
    columns = ", ".join(f"{column.source} AS {column.name}" for column in MATCHED_GALAXIES.selected)
    return f"SELECT {columns} {_triple_join(tract, selection, dialect)}"


def matched_galaxies_count_query(tract: int, selection: Selection, dialect: Dialect) -> str:
    """Build the query for the number of rows that ``matched_galaxies_query`` has, as ``num_rows``."""
    return f"SELECT COUNT(*) AS num_rows {_triple_join(tract, selection, dialect)}"


def skyinfo_query() -> str:
    """Build the seed's query for where the objects of each tract and patch lie."""
    return f"SELECT {_select_list(SKYINFO)} FROM {TABLE_ALIASES['obj']} GROUP BY tract, patch"


def skyinfo_count_query() -> str:
    """Build the query for the number of rows that ``skyinfo_query`` has, as ``num_rows``."""
    groups = f"SELECT tract, patch FROM {TABLE_ALIASES['obj']} GROUP BY tract, patch"
    return f"SELECT COUNT(*) AS num_rows FROM ({groups}) AS occupied"


def tap_tables_query() -> str:
    """Build the query for the archive's tables."""
    return f"SELECT {_select_list(TAP_TABLES)} FROM TAP_SCHEMA.tables"


def tap_columns_query(tables: Iterable[str]) -> str:
    """Build the query for the columns of some tables, named as TAP_SCHEMA spells them."""
    names = ", ".join(_literal(table) for table in tables)
    return f"SELECT {_select_list(TAP_COLUMNS)} FROM TAP_SCHEMA.columns WHERE table_name IN ({names})"


def _select_list(contract: Contract) -> str:
    return ", ".join(
        column.name if column.source == column.name else f"{column.source} AS {column.name}"
        for column in contract.selected
    )


def _literal(text: str) -> str:
    """Quote a text as an ADQL string literal (ADQL 2.1 sec. 2.1.3: a quote is doubled)."""
    return "'" + text.replace("'", "''") + "'"


def _triple_join(tract: int, selection: Selection, dialect: Dialect) -> str:
    matches, truth, objects = (f"{TABLE_ALIASES[alias]} AS {alias}" for alias in ("mt", "ts", "obj"))
    conditions = [
        _area(tract, box_function=dialect.box_function),
        f"obj.tract = {tract:d}",
        *(_condition(condition, dialect) for condition in (*selection.sample, *selection.fluxes)),
    ]
    return (
        f"FROM {matches} JOIN {truth} ON mt.id_truth_type = ts.id_truth_type "
        f"JOIN {objects} ON mt.match_objectId = obj.objectId WHERE {' AND '.join(conditions)}"
    )


def _condition(condition: Condition, dialect: Dialect) -> str:
    if condition.is_flag and dialect.text_flags:
        return f"{condition.column} = '1'"
    return condition.adql


def _area(tract: int, *, box_function: bool) -> str:
    """Restrict to the tract's inner region, or to a circle around it; limits are rounded outwards."""
    if box_function:
        box = DC2.inner_box(tract)
        low = ", ".join(_rounded(edge, up=False) for edge in (box.ra_min, box.dec_min))
        high = ", ".join(_rounded(edge, up=True) for edge in (box.ra_max, box.dec_max))
        return f"{BOX_FUNCTION}(obj.coord_ra, obj.coord_dec, {low}, {high}) = 1"
    ra, dec = DC2.centre(tract)
    circle = f"CIRCLE('ICRS', {ra:.{_BOX_DIGITS}f}, {dec:.{_BOX_DIGITS}f}, {TRACT_RADIUS_DEG})"
    return f"CONTAINS(POINT('ICRS', obj.coord_ra, obj.coord_dec), {circle}) = 1"


def _rounded(angle_deg: float, *, up: bool) -> str:
    scale = 10**_BOX_DIGITS
    whole = math.ceil(angle_deg * scale) if up else math.floor(angle_deg * scale)
    return f"{whole / scale:.{_BOX_DIGITS}f}"
