"""The ADQL that is sent to the archive: text built from contracts, selection and region, and nothing else.

Rubin's Qserv prunes by exactly one area predicate with literal arguments; equality on ``tract`` alone scans
everything. So each query over a tract has one area predicate for speed, and ``tract`` for exactness.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import pyarrow as pa

from photoz_assets.survey.contracts.archive import TAP_COLUMNS, TAP_TABLES, skyinfo_spec
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.sky import coadd_patches_contract
from photoz_assets.survey.releases.release import OBSCORE, Release
from photoz_assets.survey.selection import Condition, Selection
from photoz_assets.survey.skymap import RingsSkyMap, SkyBox
from photoz_assets.survey.table import Contract

BOX_FUNCTION: Final = "scisql_s2PtInBox"
COADDED_TRACTS_SCHEMA: Final = pa.schema([("tract", pa.int64())])
# What an uploaded table of positions is called.
UPLOADED: Final = "redshifts"
COADDS_SCHEMA: Final = pa.schema([("patch", pa.int64()), ("band", pa.string()), ("access_url", pa.string())])


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


@dataclass(frozen=True)
class Strip:
    """The strip ``number``, from the south, of ``of`` equally high ones that a tract is cut into by declination.

    Strips are half-open: what lies on a boundary is in the northern one. The outermost have no outer limit, so
    that together they hold whatever the tract holds.
    """

    number: int = 0
    of: int = 1

    @property
    def halves(self) -> tuple["Strip", ...]:
        """The same piece of sky as two strips; none if it is too small to be cut once more."""
        if self.of >= _MOST_STRIPS:
            return ()
        return Strip(2 * self.number, 2 * self.of), Strip(2 * self.number + 1, 2 * self.of)

    def within(self, box: SkyBox) -> SkyBox:
        """Return the part of a box that the strip is."""
        return replace(box, dec_min=self._limit(box, self.number), dec_max=self._limit(box, self.number + 1))

    def conditions(self, box: SkyBox) -> list[str]:
        """Write the limits in ADQL, with all digits."""
        south = [f"obj.coord_dec >= {self._limit(box, self.number)!r}"] if self.number else []
        north = [f"obj.coord_dec < {self._limit(box, self.number + 1)!r}"] if self.number + 1 < self.of else []
        return south + north

    def _limit(self, box: SkyBox, number: int) -> float:
        """Return a boundary: the same double from either side of it, however finely the tract is cut."""
        fraction = number / self.of
        return box.dec_max if fraction == 1 else box.dec_min + (box.dec_max - box.dec_min) * fraction


# A tract is 1.5 deg high: its 16th holds some 20,000 galaxies, which no archive finds too many.
_MOST_STRIPS: Final = 16
WHOLE: Final = Strip()

# The farthest corner of an inner region of the Rings skymaps lies 1.05 deg from its tract's centre.
TRACT_RADIUS_DEG: Final = 1.06

_BOX_DIGITS: Final = 8


def matched_galaxies_query(
    release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip = WHOLE
) -> str:
    """Build the triple join over one tract, or a strip of it.

    Parameters
    ----------
    release
        Whose galaxies.
    tract
        A tract of its skymap.
    selection
        The cuts.
    dialect
        The service's.
    strip
        The part of the tract.
    """
    columns = ", ".join(f"{column.source} AS {column.name}" for column in matched_galaxies_spec(release).selected)
    return f"SELECT {columns} {_triple_join(release, tract, selection, dialect, strip)}"


def matched_galaxies_count_query(
    release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip = WHOLE
) -> str:
    """Build the query for the number of rows that ``matched_galaxies_query`` has, as ``num_rows``."""
    return f"SELECT COUNT(*) AS num_rows {_triple_join(release, tract, selection, dialect, strip)}"


def objects_query(
    release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip = WHOLE
) -> str:
    """Build the query for the objects inside the cuts of one tract, or a strip of it, without a join."""
    columns = _select_list(objects_spec(release))
    return f"SELECT {columns} {_of_objects(release, tract, selection, dialect, strip)}"


def objects_count_query(
    release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip = WHOLE
) -> str:
    """Build the query for the number of rows that ``objects_query`` has, as ``num_rows``."""
    return f"SELECT COUNT(*) AS num_rows {_of_objects(release, tract, selection, dialect, strip)}"


def near_objects_query(release: Release, tract: int, selection: Selection, radius_arcsec: float) -> str:
    """Build the query for the objects of a tract inside the cuts that lie near a position of an uploaded table.

    The table is ``TAP_UPLOAD.redshifts`` with ``ra`` and ``dec``. An object comes once for each position that it
    is near. There is no area predicate: the join is one, which Qserv prunes by the table.
    """
    columns = _select_list(objects_spec(release))
    return f"SELECT {columns} {_near_objects(release, tract, selection, radius_arcsec)}"


def near_objects_count_query(release: Release, tract: int, selection: Selection, radius_arcsec: float) -> str:
    """Build the query for the number of rows that ``near_objects_query`` has, as ``num_rows``."""
    return f"SELECT COUNT(*) AS num_rows {_near_objects(release, tract, selection, radius_arcsec)}"


def skyinfo_query(release: Release) -> str:
    """Build the notebook's query for where the objects of each tract and patch lie, or that for the patches."""
    columns = _select_list(skyinfo_spec(release))
    if not release.objects.countable:
        return f"SELECT {columns} FROM {release.coadd_patches}"
    return f"SELECT {columns} FROM {release.tables['obj']} GROUP BY tract, patch"


def skyinfo_count_query(release: Release) -> str:
    """Build the query for the number of rows that ``skyinfo_query`` has, as ``num_rows``."""
    if not release.objects.countable:
        return f"SELECT COUNT(*) AS num_rows FROM {release.coadd_patches}"
    groups = f"SELECT tract, patch FROM {release.tables['obj']} GROUP BY tract, patch"
    return f"SELECT COUNT(*) AS num_rows FROM ({groups}) AS occupied"


def coadd_patches_query(release: Release) -> str:
    """Build the query for the outer regions of the patches that coadds were made of."""
    return f"SELECT {_select_list(coadd_patches_contract(release))} FROM {release.coadd_patches}"


def coadded_tracts_query(release: Release) -> str:
    """Build the query for the tracts that coadds were made of, in the columns of ``COADDED_TRACTS_SCHEMA``."""
    return f"SELECT DISTINCT lsst_tract AS tract FROM {release.coadd_patches}"


def coadds_query(release: Release, tract: int) -> str:
    """Build the query for where the links of a tract's coadds are, in the columns of ``COADDS_SCHEMA``."""
    return f"SELECT {_coadds(release)} AND lsst_tract = {tract:d}"


def any_coadd_query(release: Release) -> str:
    """Build the query for one coadd of a release, whichever it is, in the columns of ``COADDS_SCHEMA``."""
    return f"SELECT TOP 1 {_coadds(release)}"


def _coadds(release: Release) -> str:
    return (
        f"lsst_patch AS patch, lsst_band AS band, access_url FROM {OBSCORE} WHERE calib_level = 3 "
        f"AND obs_collection = {_literal(release.image_collection)} "
        f"AND dataproduct_subtype = {_literal(release.coadd_product)}"
    )


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


def _triple_join(release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip) -> str:
    matches, truth, objects = (f"{name} AS {alias}" for alias, name in release.tables.items())
    conditions = [
        _area(release.skymap, tract, strip, box_function=dialect.box_function),
        *strip.conditions(release.skymap.inner_box(tract)),
        *_cuts(release, tract, selection, dialect),
    ]
    return (
        f"FROM {matches} JOIN {truth} ON mt.id_truth_type = ts.id_truth_type "
        f"JOIN {objects} ON mt.match_objectId = obj.objectId WHERE {' AND '.join(conditions)}"
    )


def _of_objects(release: Release, tract: int, selection: Selection, dialect: Dialect, strip: Strip) -> str:
    conditions = [
        _area(release.skymap, tract, strip, box_function=dialect.box_function),
        *strip.conditions(release.skymap.inner_box(tract)),
        *_cuts(release, tract, selection, dialect),
    ]
    return f"FROM {release.tables['obj']} AS obj WHERE {' AND '.join(conditions)}"


def _near_objects(release: Release, tract: int, selection: Selection, radius_arcsec: float) -> str:
    apart = "DISTANCE(POINT('ICRS', obj.coord_ra, obj.coord_dec), POINT('ICRS', near.ra, near.dec))"
    conditions = _cuts(release, tract, selection, Dialect())
    return (
        f"FROM {release.tables['obj']} AS obj JOIN TAP_UPLOAD.{UPLOADED} AS near "
        f"ON {apart} < {radius_arcsec / 3600!r} WHERE {' AND '.join(conditions)}"
    )


def _cuts(release: Release, tract: int, selection: Selection, dialect: Dialect) -> list[str]:
    cuts = (*release.sample, *selection.flux_cuts(release.objects.photometry))
    return [f"obj.tract = {tract:d}", *(_condition(condition, dialect) for condition in cuts)]


def _condition(condition: Condition, dialect: Dialect) -> str:
    if condition.is_flag and dialect.text_flags:
        return f"{condition.column} = '1'"
    return condition.adql


def _area(skymap: RingsSkyMap, tract: int, strip: Strip, *, box_function: bool) -> str:
    """Restrict to a strip of the tract's inner region, or to a circle around that; limits are rounded outwards."""
    if box_function:
        box = strip.within(skymap.inner_box(tract))
        low = ", ".join(_rounded(edge, up=False) for edge in (box.ra_min, box.dec_min))
        high = ", ".join(_rounded(edge, up=True) for edge in (box.ra_max, box.dec_max))
        return f"{BOX_FUNCTION}(obj.coord_ra, obj.coord_dec, {low}, {high}) = 1"
    ra, dec = skymap.centre(tract)
    circle = f"CIRCLE('ICRS', {ra:.{_BOX_DIGITS}f}, {dec:.{_BOX_DIGITS}f}, {TRACT_RADIUS_DEG})"
    return f"CONTAINS(POINT('ICRS', obj.coord_ra, obj.coord_dec), {circle}) = 1"


def _rounded(angle_deg: float, *, up: bool) -> str:
    scale = 10**_BOX_DIGITS
    whole = math.ceil(angle_deg * scale) if up else math.floor(angle_deg * scale)
    return f"{whole / scale:.{_BOX_DIGITS}f}"
