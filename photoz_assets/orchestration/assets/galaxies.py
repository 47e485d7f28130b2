"""The galaxies: the triple join of matches, truth and objects per tract, and a field cut out of it."""

from collections.abc import Iterable, Iterator
from typing import Final

import dagster as dg
import duckdb
from pydantic import Field as Setting

from photoz_assets.ingest import TableQuery
from photoz_assets.lake.audit import Verdict, audit
from photoz_assets.lake.derivation import derived_provenance
from photoz_assets.lake.staging import StagedTable, spill_folder, stage
from photoz_assets.orchestration.assets.support import (
    OWNERS,
    as_dagster_failure,
    declared,
    origins,
    raise_for_blocking,
    selections,
)
from photoz_assets.orchestration.automation_policies import FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.checks import (
    FIELD_CHECKS,
    MATCHED_GALAXIES_CHECKS,
    check_result,
    failed,
    field_complete,
    key_rules,
    passed,
    row_rules,
    statistic_rules,
)
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.partitions import TRACT_PARTITIONS
from photoz_assets.orchestration.resources import ArchiveResource, SelectionResource
from photoz_assets.science.field import Field
from photoz_assets.science.photometry import with_magnitudes
from photoz_assets.survey.contracts import ARCHIVE_SCHEMA, FIELD_GALAXIES, MATCHED_GALAXIES
from photoz_assets.survey.dp02 import TRACTS
from photoz_assets.survey.queries import (
    WHOLE,
    Dialect,
    Strip,
    matched_galaxies_count_query,
    matched_galaxies_query,
)
from photoz_assets.survey.selection import Selection
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ContractViolation, Truncated

MATCHED_GALAXIES_CODE_VERSION: Final = "1"
_FIELD_CODE_VERSION: Final = "1"
_BATCH_ROWS: Final = 65_536

_Checked = Iterator[dg.Output[StagedTable] | dg.AssetCheckResult]


@dg.asset(
    group_name="galaxies",
    kinds={"tap", "parquet", "duckdb"},
    owners=OWNERS,
    code_version=MATCHED_GALAXIES_CODE_VERSION,
    partitions_def=TRACT_PARTITIONS,
    deps=origins(MATCHED_GALAXIES),
    metadata=declared(MATCHED_GALAXIES),
    check_specs=MATCHED_GALAXIES_CHECKS,
    output_required=False,
)
def matched_galaxies(
    context: dg.AssetExecutionContext,
    archive: ArchiveResource,
    lake: LakeResource,
    selection: SelectionResource,
) -> _Checked:
    """True galaxies matched to primary objects of one tract, with fluxes, magnitudes and redshifts.

    MatchesTruth x TruthSummary x Object of DP0.2, inside the magnitude cuts. The first 28 columns are those of
    the notebook this project grew from, under its names; then follows what an audit, a judgement of the match
    and a photo-z estimator need besides. Published only if every blocking check holds.
    """
    tract = int(context.partition_key)
    with as_dagster_failure():
        ingest = archive.ingest(lake.open(), run_id=context.run.run_id, log=context.log.info)
        wanted = selection.selection()
        question = _question(ingest.archive, tract, wanted)
        try:
            with ingest.fetch_table(question) as staged:
                verdicts = _audited(staged, wanted, tract)
                yield from map(check_result, verdicts)
                raise_for_blocking(f"matched_galaxies of tract {tract}", verdicts)
                yield dg.Output(staged, metadata=_numbers(staged, verdicts, tract))
        except ContractViolation as error:
            yield check_result(failed("contract", error))
            raise
        except Truncated as error:
            yield check_result(failed("complete", error))
            raise


def _question(archive: TapClient, tract: int, selection: Selection, strip: Strip = WHOLE) -> TableQuery:
    dialect = _dialect(archive)
    return TableQuery(
        contract=MATCHED_GALAXIES,
        adql=matched_galaxies_query(tract, selection, dialect, strip),
        count_adql=matched_galaxies_count_query(tract, selection, dialect, strip),
        complete=with_magnitudes,
        code_version=MATCHED_GALAXIES_CODE_VERSION,
        tract=tract,
        selection=selection,
        part=None if strip == WHOLE else f"strip-{strip.number + 1}-of-{strip.of}",
        halves=lambda: tuple(_question(archive, tract, selection, half) for half in strip.halves),
    )


def _dialect(archive: TapClient) -> Dialect:
    """Ask an archive, once, in which ADQL its tables are to be queried."""
    has_box = archive.capabilities().has_box
    objects = archive.schema_info(ARCHIVE_SCHEMA).tables.get("object")
    datatypes = {name.lower(): datatype.lower() for name, datatype in objects.columns.items()} if objects else {}
    # Qserv, which alone has the box, declares its flags as booleans and compares them with numbers.
    return Dialect(box_function=has_box, text_flags=not has_box and datatypes.get("detect_isprimary") == "boolean")


def _audited(staged: StagedTable, selection: Selection, tract: int) -> list[Verdict]:
    """Hold a staged tract against all checks; that it is complete was seen when it was received."""
    counts = {"rows": staged.rows, "rows_counted_by_the_archive": staged.provenance.rows_declared}
    return [
        passed("complete", f"{staged.rows:,} rows, as many as the archive counts", counts),
        *audit(
            staged.path,
            spill=spill_folder(staged.path),
            rows=row_rules(selection, tract),
            keys=key_rules(),
            statistics=statistic_rules(),
        ),
    ]


def _numbers(staged: StagedTable, verdicts: Iterable[Verdict], tract: int) -> dict[str, float]:
    """Give what Dagster plots over tracts and time: how dense a tract is, and how far from true its positions."""
    measured = {
        name: value
        for verdict in verdicts
        for name, value in verdict.numbers.items()
        if name.endswith("_offset_arcsec") and isinstance(value, float)
    }
    return {"density_per_deg2": staged.rows / DC2_RINGS.inner_box(tract).area_deg2, **measured}


class FieldConfig(dg.Config):
    """The cone to cut out; by default the field of the notebook that this project grew from."""

    ra_deg: float = Setting(
        default=62.0, ge=0, lt=360, description="Right ascension of the centre in degrees, ICRS"
    )
    dec_deg: float = Setting(
        default=-37.0, ge=-90, le=90, description="Declination of the centre in degrees, ICRS"
    )
    radius_deg: float = Setting(default=0.5, gt=0, le=20, description="Radius of the cone in degrees")
    allow_missing: bool = Setting(
        default=False, description="Publish what is there even if tracts that the cone touches are missing"
    )

    @property
    def field(self) -> Field:
        """The cone."""
        return Field(ra_deg=self.ra_deg, dec_deg=self.dec_deg, radius_deg=self.radius_deg)


@dg.asset(
    group_name="galaxies",
    kinds={"parquet", "duckdb"},
    owners=OWNERS,
    code_version=_FIELD_CODE_VERSION,
    deps=[matched_galaxies],
    metadata=declared(FIELD_GALAXIES),
    check_specs=FIELD_CHECKS,
    output_required=False,
    automation_condition=FOLLOW_SETTLED_TRACTS,
)
def field_galaxies(context: dg.AssetExecutionContext, config: FieldConfig, lake: LakeResource) -> _Checked:
    """The galaxies of one cone, by default the notebook's field: cut out of the lake by true position.

    Made of the tracts whose inner region meets the cone widened by 2 arcsec. Nothing is published while one
    of them is missing, unless the configuration allows it.
    """
    store = lake.open()
    needed = config.field.tracts(TRACTS)
    held = set(store.tracts("matched_galaxies")).intersection(needed)
    with as_dagster_failure():
        verdict = field_complete(needed, selections(store, held), allow_missing=config.allow_missing)
        yield check_result(verdict, rows="missing_tracts")
        raise_for_blocking(str(config.field), [verdict])
        files = [str(store.table("matched_galaxies", tract)) for tract in sorted(held)]
        galaxies = duckdb.connect().read_parquet(files, hive_partitioning=False)
        sources = [store.provenance("matched_galaxies", tract) for tract in sorted(held)]
        provenance = derived_provenance(
            FIELD_GALAXIES,
            code_version=_FIELD_CODE_VERSION,
            run_id=context.run.run_id,
            of=sources[0],
            region=str(config.field),
            inputs=sources,
        )
        rows = config.field.cut(galaxies).to_arrow_reader(_BATCH_ROWS)
        staged = stage(store, FIELD_GALAXIES, rows, lambda: provenance)
        yield dg.Output(staged, metadata={"field": str(config.field), "tracts": sorted(held)})
