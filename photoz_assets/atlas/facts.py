"""What the atlas tells, gathered from the lake: of the survey, of each tract, and of the redshifts.

Footers come from the index, so that a survey of unchanged tracts costs little; a tract's rows are read only where
its page is made anew (``tract_checks``, ``band_rows``).
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb
import pyarrow as pa

from photoz_assets.atlas.history import QualityEntry
from photoz_assets.lake.audit import audit
from photoz_assets.lake.footers import StoredFooter, read_footers
from photoz_assets.lake.kept_files import FileVersion
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    InvalidTableFileError,
    Provenance,
    carried_provenance,
    read_rows,
    verify_rows,
)
from photoz_assets.lake.publishing import TRACT_KEY
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.staging import spill_folder, temp_file
from photoz_assets.photoz.quality import overall
from photoz_assets.survey.checks import COMPLETE, Check, Scope, Verdict
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec

GALAXIES: Final = "matched_galaxies"
# A tract's tables in the order in which they are made.
TRACT_TABLES: Final = ("objects", GALAXIES, "diagnostics", "photoz_galaxies", "photoz_catalog", "stamps")
# Fewer test galaxies than these say nothing of a tract's redshifts: scatter is then uncertain by a sixth.
LEAST_JUDGED: Final = 50
# As the metric outliers_fixed has it.
_OUTLIER: Final = 0.15
_CONTACT_SHEET: Final = "contact_sheet"

# Of the test galaxies of each tract, by the definitions of ``METRICS``.
_QUALITY_BY_TRACT: Final = f"""
    SELECT tract, count(*) AS judged, 1.4826 * mad(e) AS scatter, avg((abs(e) > {_OUTLIER})::INTEGER) AS outliers
    FROM (SELECT tract, (z_median - redshift) / (1 + redshift) AS e FROM estimates WHERE z_median IS NOT NULL)
    GROUP BY tract HAVING count(*) >= {LEAST_JUDGED}
"""


@dataclass(frozen=True)
class Standing:
    """How a tract stands: in one word (fresh, stale, failed, missing, running), and why."""

    status: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class StoredFile:
    """A table of a tract as the lake holds it; ``provenance`` is None for one that cannot be read."""

    table: str
    path: str
    rows: int | None
    provenance: Provenance | None


@dataclass(frozen=True, kw_only=True)
class TractFacts:
    """What is known of a tract without a look at its rows.

    Areas are in square degrees, the density in galaxies per square degree, the depth the r magnitude (AB) at five
    sigma. ``scatter`` and ``outliers`` are of its ``judged`` test galaxies. What is not known is None.
    """

    tract: int
    standing: Standing
    ra_deg: float
    dec_deg: float
    area_deg2: float
    num_objects: int | None
    galaxies: int | None
    density: float | None
    depth: float | None
    median_redshift: float | None
    judged: int | None
    scatter: float | None
    outliers: float | None
    stored: tuple[StoredFile, ...]
    figures: Mapping[Path, FileVersion]

    def provenance(self, table: str = GALAXIES) -> Provenance | None:
        """Return where a stored table of the tract came from."""
        return next((file.provenance for file in self.stored if file.table == table), None)


@dataclass(frozen=True, kw_only=True)
class AtlasFacts:
    """What is known of the lake.

    Attributes
    ----------
    tracts
        Of the release, ascending.
    source
        Where the rows came from, by one of the tables; None for a lake without.
    quality
        The rows of ``photoz_quality``, and where they came from.
    figures
        Of the survey and of the field, by the asset.
    """

    release: Release
    tracts: tuple[TractFacts, ...]
    source: Provenance | None
    quality: tuple[Mapping[str, Any], ...]
    quality_source: Provenance | None
    entry: QualityEntry | None
    figures: Mapping[str, Sequence[Path]]

    @property
    def held(self) -> list[TractFacts]:
        """The tracts whose galaxies the lake holds."""
        return [tract for tract in self.tracts if tract.galaxies is not None]

    @property
    def as_of(self) -> str | None:
        """When the newest of the tables was made, UTC in ISO 8601."""
        stored = [file.provenance for tract in self.tracts for file in tract.stored]
        made = [each.created for each in (*stored, self.source, self.quality_source) if each and each.created]
        return max(made, default=None)


def gather(lake: Lake, release: Release, standings: Mapping[int, Standing]) -> AtlasFacts:
    """Gather what the lake holds of a release.

    Parameters
    ----------
    lake, release
        Which.
    standings
        How each tract stands; of one that is not named, nothing is known.
    """
    stored = _stored_files(lake)
    figures = _figures(lake)
    measured = {row["tract"]: row for row in _listed(_rows(lake, "survey_diagnostics"))}
    listed = {row["tract"]: row for row in _listed(_rows(lake, "tracts", ["tract", "num_objects"]))}
    judged = _judged_tracts(lake)
    tracts = tuple(
        _tract_facts(
            release,
            tract,
            standings.get(tract, Standing("missing", "unknown")),
            stored=tuple(stored.get(tract, ())),
            figures=figures.get(tract, {}),
            # Numbers of all sources, whose names do not clash.
            numbers={**listed.get(tract, {}), **measured.get(tract, {}), **judged.get(tract, {})},
        )
        for tract in release.tracts
    )
    quality = _rows(lake, "photoz_quality")
    skyinfo = _rows(lake, "skyinfo", ["tract"])
    sources = [source for tract in tracts if (source := tract.provenance()) is not None]
    return AtlasFacts(
        release=release,
        tracts=tracts,
        source=sources[0] if sources else carried_provenance(skyinfo) if skyinfo is not None else None,
        quality=tuple(_listed(quality)),
        quality_source=carried_provenance(quality) if quality is not None else None,
        entry=_entry(quality),
        figures=_survey_figures(lake),
    )


def _tract_facts(
    release: Release,
    tract: int,
    standing: Standing,
    *,
    stored: tuple[StoredFile, ...],
    figures: Mapping[Path, FileVersion],
    numbers: Mapping[str, Any],
) -> TractFacts:
    box, (ra, dec) = release.skymap.inner_box(tract), release.skymap.centre(tract)
    galaxies = next((file.rows for file in stored if file.table == GALAXIES), None)
    return TractFacts(
        tract=tract,
        standing=standing,
        ra_deg=ra,
        dec_deg=dec,
        area_deg2=box.area_deg2,
        num_objects=numbers.get("num_objects"),
        galaxies=galaxies,
        density=None if galaxies is None else galaxies / box.area_deg2,
        depth=numbers.get("r_depth_5sigma_mag"),
        median_redshift=numbers.get("median_redshift"),
        judged=numbers.get("judged"),
        scatter=numbers.get("scatter"),
        outliers=numbers.get("outliers"),
        stored=stored,
        figures=figures,
    )


def _stored_files(lake: Lake) -> dict[int, list[StoredFile]]:
    """Return the tables of each tract of which something is stored."""
    stored: dict[int, list[StoredFile]] = {}
    for table in TRACT_TABLES:
        places = {tract: path for tract, path in lake.publisher.listed(table).items() if tract is not None}
        footers = read_footers(lake, table, list(places.values()))
        for (tract, path), footer in zip(places.items(), footers, strict=True):
            if footer is None:
                continue
            provenance = None
            if isinstance(footer, StoredFooter):
                with suppress(InvalidTableFileError):
                    provenance = footer.provenance
            stored.setdefault(tract, []).append(
                StoredFile(
                    table=table,
                    path=path.relative_to(lake.root).as_posix(),
                    rows=footer.rows if isinstance(footer, StoredFooter) else None,
                    provenance=provenance,
                )
            )
    return stored


def _figures(lake: Lake) -> dict[int, dict[Path, FileVersion]]:
    """Return the figures of each tract."""
    figures: dict[int, dict[Path, FileVersion]] = {}
    for path, version in _pictures(lake, f"*/{TRACT_KEY}=*/*.png"):
        tract = path.parent.name.partition("=")[2]
        if tract.isdecimal():
            figures.setdefault(int(tract), {})[path] = version
    return figures


def _survey_figures(lake: Lake) -> dict[str, list[Path]]:
    figures: dict[str, list[Path]] = {}
    for path, _ in _pictures(lake, "*/*.png"):
        figures.setdefault(path.parent.name, []).append(path)
    return figures


def _pictures(lake: Lake, pattern: str) -> Iterator[tuple[Path, FileVersion]]:
    """Yield the figures of a pattern, in order; a contact sheet shows others again."""
    found = lake.kept.listed(lake.root / "figures", pattern)
    yield from ((path, version) for path, version in found.items() if path.stem != _CONTACT_SHEET)


def _rows(lake: Lake, asset: str, columns: Sequence[str] | None = None) -> pa.Table | None:
    """Return the rows of an asset without tracts; None if the lake has none that can be read."""
    # One bad file must not keep the others from being shown: the page of the asset names it.
    with suppress(FileNotFoundError, NotADirectoryError, InvalidTableFileError):
        [held] = snapshot(lake, [lake.table(asset)])
        rows = read_rows(held, columns)
        carried_provenance(rows)
        return rows
    return None


def _listed(rows: pa.Table | None) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [] if rows is None else rows.to_pylist()
    return found


def _judged_tracts(lake: Lake) -> dict[int, dict[str, Any]]:
    """Return how good the test galaxies' redshifts are in each tract that has enough of them."""
    estimates = _rows(lake, "photoz_estimates", ["tract", "redshift", "z_median"])
    if estimates is None:
        return {}
    with duckdb.connect() as connection:
        connection.register("estimates", estimates)
        return {row["tract"]: row for row in connection.sql(_QUALITY_BY_TRACT).to_arrow_table().to_pylist()}


def _entry(quality: pa.Table | None) -> QualityEntry | None:
    if quality is None or (row := overall(quality)) is None or row["effective_number"] is None:
        return None
    source = carried_provenance(quality)
    return QualityEntry.of_row(
        row, made=source.created or "", run_id=source.run_id or "", estimator=source.estimator or "unknown"
    )


def band_rows(lake: Lake, tract: TractFacts) -> list[dict[str, Any]]:
    """Return a tract's statistics, a row a band; none unless they are of the galaxies that are stored."""
    source, statistics = tract.provenance(), tract.provenance("diagnostics")
    if source is None or statistics is None or source.identity not in statistics.inputs:
        return []
    with suppress(FileNotFoundError, InvalidTableFileError):
        return _listed(read_rows(lake.table("diagnostics", tract.tract)))
    return []


@dataclass(frozen=True)
class HeldCheck:
    """A check of a table and what it finds in the rows that are stored; None where that cannot be told."""

    check: Check
    verdict: Verdict | None


def tract_checks(lake: Lake, release: Release, tract: TractFacts) -> list[HeldCheck]:
    """Hold a tract's stored galaxies against their checks, as they were before they were published.

    None of them is held against a file of other columns than the contract's, or one that cannot be read.

    Raises
    ------
    OSError, duckdb.Error
        The disk is full or fails.
    """
    source, spec = tract.provenance(), matched_galaxies_spec(release)
    if source is None:
        return []
    found = {verdict.check: verdict for verdict in _verdicts(lake, spec, source)}
    return [HeldCheck(check, found.get(check.name)) for check in spec.checks]


def _verdicts(lake: Lake, spec: TableSpec, source: Provenance) -> Iterator[Verdict]:
    if source.rows_declared is not None and source.rows_received is not None:
        yield Verdict(
            check=COMPLETE,
            passed=source.rows_declared == source.rows_received,
            summary=f"{source.rows_received:,} rows came of {source.rows_declared:,} that the archive counted",
        )
    scope = Scope(
        selection=source.selection, tract=source.tract, sampling=source.sampling, matching=source.matching
    )
    with suppress(FileNotFoundError, InvalidTableFileError), temp_file(lake) as spool:
        [held] = snapshot(lake, [lake.table(spec.table, source.tract)])
        if not spec.differences(verify_rows(held).schema):
            yield from audit(held, spec.rules(scope), spill=spill_folder(spool))
