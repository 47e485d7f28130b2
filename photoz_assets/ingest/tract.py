"""One tract's galaxies, from the archive into the lake: the pipeline's main job as one function."""

import logging
import time
import uuid
from collections.abc import Callable
from typing import Final

from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.ingest.tap_ingest import TapIngest
from photoz_assets.lake.freshness import listed_as
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.writing import WrittenTable
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.checks import Scope
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.queries import (
    WHOLE,
    Dialect,
    Strip,
    matched_galaxies_count_query,
    matched_galaxies_query,
    objects_count_query,
    objects_query,
)
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection
from photoz_assets.tap.client import TapClient

_LOGGER: Final = logging.getLogger(__name__)


def fetch_tract(
    client: TapClient,
    lake: Lake,
    release: Release,
    selection: Selection,
    tract: int,
    *,
    run_id: str | None = None,
    limits: QueryLimits | None = None,
    log: Callable[[str], None] = _LOGGER.info,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> WrittenTable:
    """Fetch the matched galaxies of one tract, hold them against their checks and publish them.

    Parameters
    ----------
    client
        The archive.
    lake
        Where the table goes.
    release
        Whose galaxies.
    selection
        Which of them are wanted.
    tract
        A tract of the release.
    run_id
        Under which the provenance and the job's record name this run; by default a new one.
    limits
        How politely and for how long to ask.
    log
        Takes a line on each thing that happens.
    clock, sleep
        Monotonic seconds, and how to let them pass.

    Returns
    -------
    WrittenTable
        Path, rows, provenance and the verdicts of all checks.

    Raises
    ------
    TableRefusedError
        The answer is not whole, not as the contract has it, or fails a blocking check; what was there stays.
    PhotozError
        The archive did not answer, or the lake holds tables of another one.
    OSError, duckdb.Error
        The disk is full or fails.
    """
    ingest = TapIngest(
        client=client,
        lake=lake,
        release=release,
        run_id=run_id or str(uuid.uuid4()),
        limits=limits or QueryLimits(),
        log=log,
        clock=clock,
        sleep=sleep,
    )
    # Before the archive is asked: what changes there from now on may not be in the answer.
    listing = listed_as(lake, tract)
    return ingest.fetch_table(tract_query(client, release, selection, tract, listing=listing))


def tract_query(
    client: TapClient,
    release: Release,
    selection: Selection,
    tract: int,
    strip: Strip = WHOLE,
    *,
    listing: str | None = None,
) -> TableQuery:
    """Return the query for a tract's matched galaxies, or for a strip of it, in the dialect of an archive.

    ``listing`` is what the lake's listing of the sky says of the tract.
    """
    spec, dialect = matched_galaxies_spec(release), _dialect(client, release)
    return TableQuery(
        spec=spec,
        scope=Scope(selection=selection, tract=tract),
        adql=matched_galaxies_query(release, tract, selection, dialect, strip),
        count_adql=matched_galaxies_count_query(release, tract, selection, dialect, strip),
        transform=lambda batch: with_magnitudes(batch, spec, release),
        part=_part_of(strip),
        listing=listing,
        split=lambda: tuple(
            tract_query(client, release, selection, tract, half, listing=listing) for half in strip.halves
        ),
    )


def objects_tract_query(
    client: TapClient,
    release: Release,
    selection: Selection,
    tract: int,
    strip: Strip = WHOLE,
    *,
    listing: str | None = None,
) -> TableQuery:
    """Return the query for a tract's objects inside the cuts, as ``tract_query`` does for galaxies."""
    dialect = _dialect(client, release)
    return TableQuery(
        spec=objects_spec(release),
        scope=Scope(selection=selection, tract=tract),
        adql=objects_query(release, tract, selection, dialect, strip),
        count_adql=objects_count_query(release, tract, selection, dialect, strip),
        transform=lambda batch: batch,
        part=_part_of(strip),
        listing=listing,
        split=lambda: tuple(
            objects_tract_query(client, release, selection, tract, half, listing=listing) for half in strip.halves
        ),
    )


def _part_of(strip: Strip) -> str | None:
    return None if strip == WHOLE else f"strip-{strip.number + 1}-of-{strip.of}"


def _dialect(client: TapClient, release: Release) -> Dialect:
    """Ask an archive, once, in which ADQL its tables are to be queried."""
    has_box = client.capabilities().has_box
    objects = client.schema_info(release.schema).tables.get("object")
    datatypes = {name.lower(): datatype.lower() for name, datatype in objects.columns.items()} if objects else {}
    primary = datatypes.get((release.objects.primary or "").lower())
    # Qserv, which alone has the box, declares its flags as booleans and compares them with numbers.
    return Dialect(box_function=has_box, text_flags=not has_box and primary == "boolean")
