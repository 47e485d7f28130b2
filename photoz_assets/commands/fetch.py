"""``photoz fetch``: tracts straight into the lake, held against all checks, without a run of Dagster."""

import uuid
from collections.abc import Callable, Iterable
from contextlib import closing

import dagster as dg

from photoz_assets.errors import PhotozError
from photoz_assets.ingest import fetch_tract
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.writing import WrittenTable
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.resources import ArchiveResource, SelectionResource
from photoz_assets.survey.releases.release import Release
from photoz_assets.text import listed


class UnknownTractError(PhotozError):
    """A number is no tract of the survey; nothing was asked."""


def fetch(lake: Lake, release: Release, tracts: Iterable[int], log: Callable[[str], None]) -> list[str]:
    """Fetch tracts of a release one after the other; one that fails does not keep the others from being fetched.

    Parameters
    ----------
    lake
        Where the tables go.
    release, tracts
        Whose galaxies, and where they lie.
    log
        Takes a line on each thing that happens.

    Returns
    -------
    list[str]
        What failed, a line each.

    Raises
    ------
    UnknownTractError
        A tract is none of the survey's.
    """
    tracts = list(dict.fromkeys(tracts))
    if unknown := sorted(set(tracts).difference(release.tracts)):
        raise UnknownTractError(
            f"no tract of the survey: {listed(unknown)}. They lie between {min(release.tracts)} and "
            f"{max(release.tracts)}; "
            "the asset tracts says where each lies"
        )
    archive, selection = ArchiveResource(), SelectionResource().selection()
    run_id = str(uuid.uuid4())
    problems = []
    with closing(archive):
        for tract in tracts:
            try:
                with as_dagster_failure():
                    client = archive.client(release, run_id=run_id, log=log)
                    table = fetch_tract(
                        client, lake, release, selection, tract, run_id=run_id, limits=archive.limits, log=log
                    )
            except dg.Failure as failure:
                problems.append(f"tract {tract}: {failure.description}")
            else:
                log(_published(table))
    return problems


def _published(table: WrittenTable) -> str:
    """Return what became of a tract in a line, with the checks that warn."""
    warned = [f"{verdict.check}: {verdict.summary}" for verdict in table.verdicts if not verdict.passed]
    checks = "; ".join(warned) or f"{len(table.verdicts)} checks passed"
    return f"tract {table.provenance.tract}: {table.rows:,} galaxies in {table.path}; {checks}"
