"""One tract's redshifts of other surveys, matched with its objects: of the lake, or of the archive by an upload.

Both ways give the same rows. The archive only says which objects lie near a redshift; which pairs are taken is
decided here, of the same objects, by the same code.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import duckdb
import numpy as np
from numpy.typing import NDArray

from photoz_assets.ingest.table_query import TableQuery
from photoz_assets.ingest.tap_ingest import TapIngest, part_of
from photoz_assets.lake.freshness import listed_as
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, run_versions
from photoz_assets.lake.tables import open_tables, tables_sql
from photoz_assets.lake.writing import WrittenTable, write_rows
from photoz_assets.science.match_quality import bands_observed, chance_verdict, patch_geometry, survey_offsets
from photoz_assets.science.matching import (
    AROUND,
    REACH,
    SHIFTS_ARCSEC,
    chance_matches,
    find_pairs,
    match,
    moved,
)
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG
from photoz_assets.survey.checks import COMPLETE, Scope, Verdict
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.queries import UPLOADED, near_objects_count_query, near_objects_query
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.skymap import RingsSkyMap, SkyBox
from photoz_assets.tap.uploads import Upload, most_rows

_BATCH_ROWS: Final = 65_536
# The archive's distance is computed otherwise: what lies on the radius by ours must be among what it gives.
_SLACK: Final = 1 + 1e-6
_MAGNITUDE_EDGES: Final = (-100.0, 20.0, 21.0, 22.0, 23.0, 24.0, 25.0, 26.0)
# A cell of the sky that is observed and holds so many objects on average is empty once in ten million.
_OBJECTS_PER_CELL: Final = 16
_MOST_CELLS_PER_SIDE: Final = 10


@dataclass(frozen=True, kw_only=True)
class TractMatch:
    """What is matched: a tract's redshifts that count, those of the file ``specz`` inside its box.

    ``selection`` is that of the objects.
    """

    release: Release
    tract: int
    selection: Selection
    specz: Path

    @property
    def matching(self) -> Matching:
        """The release's.

        Raises
        ------
        TypeError
            Its redshifts are no matter of matching.
        """
        if self.release.matching is None:
            raise TypeError(f"{self.release.title} has a truth of its own")
        return self.release.matching

    def read(self, connection: duckdb.DuckDBPyConnection) -> None:
        """Read the redshifts into the table ``redshifts`` of a connection."""
        box = self.release.skymap.inner_box(self.tract)
        inside = _inside(box, self.matching.radius_arcsec / 3600)
        counted = open_tables(connection, [self.specz]).filter(f"{self.matching.counts} AND {inside}")
        connection.execute("DROP TABLE IF EXISTS redshifts")
        counted.create("redshifts")


def _inside(box: SkyBox, margin_deg: float) -> str:
    """Return the SQL condition that a redshift lies in a box, or nearer to it than a margin."""
    farthest = min(89.9, max(abs(box.dec_min), abs(box.dec_max)) + margin_deg)
    wider = margin_deg / float(np.cos(np.radians(farthest)))
    west, width = box.ra_min - wider, box.ra_max - box.ra_min + 2 * wider
    return (
        f"(sz_ra - {west!r} + 720) % 360 <= {width!r} "
        f"AND sz_dec BETWEEN {box.dec_min - margin_deg!r} AND {box.dec_max + margin_deg!r}"
    )


def match_stored(lake: Lake, wanted: TractMatch, objects: Path, provenance: Provenance) -> WrittenTable:
    """Match a tract's redshifts with its stored objects; check and publish the pairs.

    Parameters
    ----------
    lake
        Where the table goes.
    wanted
        What is matched.
    objects
        The file of the tract's ``objects``.
    provenance
        Of the table.

    Raises
    ------
    TableRefusedError
        A blocking check failed; what was there stays.
    OSError, duckdb.Error
        The disk is full or fails.
    """
    with duckdb.connect() as connection:
        wanted.read(connection)
        return _matched(connection, lake, wanted, objects=[objects], provenance=provenance)


def match_by_upload(ingest: TapIngest, wanted: TractMatch, specz: Provenance) -> WrittenTable:
    """Send a tract's redshifts to the archive, which answers with the objects near them; match, check, publish.

    Parameters
    ----------
    ingest
        The archive and the lake.
    wanted
        What is matched.
    specz
        Where the redshifts came from.

    Raises
    ------
    TableRefusedError
        The answer is not whole, not as the contract has it, or the pairs fail a blocking check.
    PhotozError
        The archive did not answer, takes no uploads, or the lake holds tables of another one.
    OSError, duckdb.Error
        The disk is full or fails.
    """
    spec = matched_galaxies_spec(wanted.release)
    # Before the archive is asked: what changes there from now on may not be in the answer.
    listing = listed_as(ingest.lake, wanted.tract)
    with duckdb.connect() as connection, ExitStack() as stack:
        wanted.read(connection)
        parts = [
            stack.enter_context(ingest.fetch_rows(query, spec))
            for query in near_objects_queries(connection, wanted, listing=listing)
        ]
        answers = [rows.provenance for rows, _ in parts]
        provenance = replace(
            answers[0],
            table=spec.table,
            code_version=spec.code_version,
            matching=wanted.matching,
            redshift_files=specz.redshift_files,
            inputs=(specz.identity,),
            parts=tuple(part_of(answer) for answer in answers) if len(answers) > 1 else (),
            **run_versions(),
        )
        files = [rows.path for rows, _ in parts]
        complete = [_complete(answers)]
        return _matched(connection, ingest.lake, wanted, objects=files, provenance=provenance, verdicts=complete)


def _complete(answers: Sequence[Provenance]) -> Verdict:
    received = sum(answer.rows_received or 0 for answer in answers)
    return Verdict(
        check=COMPLETE,
        passed=True,
        summary=f"{received:,} objects near redshifts, as many as the archive counts",
        numbers={"rows": received, "uploads": len(answers)},
    )


def near_objects_queries(
    connection: duckdb.DuckDBPyConnection,
    wanted: TractMatch,
    *,
    listing: str | None = None,
    rows_per_upload: int | None = None,
) -> Iterator[TableQuery]:
    """Yield the queries for the objects near a tract's redshifts, around these, and near them once moved.

    There is at least one; the positions are cut where they are too many for one request.
    """
    around = (
        (east * wanted.matching.radius_arcsec, north * wanted.matching.radius_arcsec) for east, north in AROUND
    )
    places = ((0.0, 0.0), *SHIFTS_ARCSEC, *around)
    numbered = "SELECT row_number() OVER (ORDER BY sz_id) AS id, sz_ra, sz_dec FROM redshifts"
    there = " UNION ALL ".join(
        f"SELECT id * {len(places)} + {number} AS id, {moved(place)} FROM ({numbered})"
        for number, place in enumerate(places)
    )
    positions = connection.sql(f"SELECT id::BIGINT AS id, ra, dec FROM ({there}) ORDER BY id").to_arrow_table()
    size = rows_per_upload or most_rows(positions.num_columns)
    starts = range(0, max(positions.num_rows, 1), size)
    release, tract, selection = wanted.release, wanted.tract, wanted.selection
    radius = wanted.matching.radius_arcsec * _SLACK
    for number, start in enumerate(starts, start=1):
        yield TableQuery(
            spec=objects_spec(release),
            scope=Scope(selection=selection, tract=tract),
            adql=near_objects_query(release, tract, selection, radius),
            count_adql=near_objects_count_query(release, tract, selection, radius),
            transform=lambda batch: batch,
            part=f"upload-{number}-of-{len(starts)}",
            listing=listing,
            upload=Upload(UPLOADED, positions.slice(start, size)),
        )


def _matched(
    connection: duckdb.DuckDBPyConnection,
    lake: Lake,
    wanted: TractMatch,
    *,
    objects: Sequence[Path],
    provenance: Provenance,
    verdicts: Sequence[Verdict] = (),
) -> WrittenTable:
    """Match, measure what chance has made of it, and write the pairs."""
    release, spec = wanted.release, matched_galaxies_spec(wanted.release)
    columns = release.columns
    ra, dec = columns.position
    # An object that lies near two positions has come twice.
    connection.execute(
        f'CREATE TEMP VIEW stored_objects AS SELECT DISTINCT ON ("{columns.object_id}") * '
        f"FROM ({tables_sql(connection, objects)})"
    )
    band = wanted.selection.bands[-1]
    connection.execute(
        f'CREATE TEMP TABLE objects AS SELECT "{columns.object_id}" AS object_id, "{ra}" AS ra, "{dec}" AS dec, '
        f"{AB_ZERO_POINT_MAG!r} - 2.5 * log10({columns.flux(band)}) AS magnitude FROM stored_objects"
    )
    found = match(connection, wanted.matching)
    covered = _covered(connection, release.skymap, wanted.tract)
    chance = chance_matches(
        connection, wanted.matching, found, redshifts=covered, magnitude="magnitude", edges=_MAGNITUDE_EDGES
    )
    connection.register("taken", found.pairs)
    known = {*SPECZ.names, *found.pairs.column_names, *objects_spec(release).names}
    selected = ", ".join(f'"{name}"' for name in spec.names if name in known)
    connection.execute(
        f"CREATE TEMP TABLE galaxies AS SELECT {selected} FROM taken JOIN redshifts USING (sz_id) "
        f'JOIN stored_objects ON "{columns.object_id}" = object_id ORDER BY object_id'
    )
    galaxies = connection.table("galaxies")
    judged = [
        *verdicts,
        survey_offsets(_nearest(connection, wanted), columns),
        chance_verdict(chance),
        bands_observed(galaxies, columns),
        patch_geometry(galaxies, release, wanted.tract),
    ]
    batches = (with_magnitudes(batch, spec, release) for batch in galaxies.to_arrow_reader(_BATCH_ROWS))
    return write_rows(lake, spec, batches, provenance, judged)


def _nearest(connection: duckdb.DuckDBPyConnection, wanted: TractMatch) -> duckdb.DuckDBPyRelation:
    """Return each redshift with the object nearest to it, farther out than the match goes.

    Positions that are off by more than its radius are seen there.
    """
    redshifts = "(SELECT sz_id AS redshift_id, sz_ra AS ra, sz_dec AS dec FROM redshifts)"
    pairs = find_pairs(connection, "objects", redshifts, REACH * wanted.matching.radius_arcsec)
    return connection.sql(
        f"SELECT redshifts.*, stored_objects.* FROM {pairs} JOIN redshifts ON sz_id = redshift_id "
        f'JOIN stored_objects ON "{wanted.release.columns.object_id}" = object_id '
        "QUALIFY row_number() OVER (PARTITION BY redshift_id ORDER BY distance_arcsec, object_id) = 1"
    )


def _covered(connection: duckdb.DuckDBPyConnection, skymap: RingsSkyMap, tract: int) -> int:
    """Count the redshifts that lie where there are objects: in cells of the tract's plane that hold some."""
    objects = connection.sql("SELECT ra, dec FROM objects").fetchnumpy()
    redshifts = connection.sql("SELECT sz_ra AS ra, sz_dec AS dec FROM redshifts").fetchnumpy()
    if not len(objects["ra"]) or not len(redshifts["ra"]):
        return 0
    size = skymap.patch_inner_pixels
    patches = np.unique(_cells(skymap, tract, objects, size), axis=0)
    cells_per_patch = len(objects["ra"]) / len(patches) / _OBJECTS_PER_CELL
    per_side = int(np.clip(np.sqrt(cells_per_patch), 1, _MOST_CELLS_PER_SIDE))
    held, asked = (_cells(skymap, tract, each, size // per_side) for each in (objects, redshifts))
    return sum(map({*map(tuple, held)}.__contains__, map(tuple, asked)))


def _cells(skymap: RingsSkyMap, tract: int, places: Mapping[str, Any], size: int) -> NDArray[np.int64]:
    """Return the column and the row of each place's cell, shape (places, 2)."""
    pixels = skymap.sky_to_pixel(tract, places["ra"], places["dec"])
    return np.floor(np.column_stack(pixels) / size).astype(np.int64)
