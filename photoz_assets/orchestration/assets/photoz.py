"""The training sets: each tract's galaxies with features, the sample drawn of all tracts, and files for others."""

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any, Final

import dagster as dg

from photoz_assets.lake.provenance import derived_provenance, run_versions
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import StoredTable, read_source_footer
from photoz_assets.lake.writing import TableRefusedError, require_passed, write_rows
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.assets.support import former_rows
from photoz_assets.orchestration.automation_policies import FOLLOW, FOLLOW_CHANGED, FOLLOW_SETTLED_TRACTS
from photoz_assets.orchestration.check_results import check_result, check_spec
from photoz_assets.orchestration.checks.photoz import tracts_alike
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource, stored_inputs
from photoz_assets.orchestration.lake_table import OWNERS, TableResult, code_reference, lake_table
from photoz_assets.orchestration.partitions import PROFILE_PARTITIONS
from photoz_assets.orchestration.resources import ReleaseParam, SamplingResource
from photoz_assets.photoz.accounting import account
from photoz_assets.photoz.digests import rows_digest
from photoz_assets.photoz.exports import PROFILE_CLEAN, write_profile
from photoz_assets.photoz.galaxies import tract_galaxies
from photoz_assets.photoz.populations import nz_stable, same_population
from photoz_assets.photoz.profiles import PROFILES
from photoz_assets.photoz.sample import draw_sample
from photoz_assets.survey.contracts.photoz import GROUP, photoz_galaxies_spec, photoz_sample_spec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import SPLITS

# Of four times as many, a tract took 20 MiB more, and no less time.
_BATCH_ROWS: Final = 16_384
_EXPORTS: Final = "photoz_exports"
_EXPORTS_VERSION: Final = "1"


@lake_table(photoz_galaxies_spec, automation_condition=FOLLOW)
def photoz_galaxies(
    context: dg.AssetExecutionContext,
    release: ReleaseParam,
    lake: LakeResource,
    sampling: SamplingResource,
    matched_galaxies: StoredTable,
) -> TableResult:
    """One tract's galaxies as a photo-z estimator wants them: magnitudes, colours, errors, redshift.

    What is missing is NULL, and a state a band says why. Each galaxy's split and draw follow from its own key and
    the seed alone, so that no other tract, and no order of tracts, changes them. Rows are in the order of draws.
    """
    drawn, spec, [source] = sampling.sampling(), photoz_galaxies_spec(release), matched_galaxies.sources
    tract = int(context.partition_key)
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=source,
        tract=tract,
        inputs=[source],
        input_versions=matched_galaxies.versions,
        sampling=drawn.of_a_galaxy,
    )
    galaxies = tract_galaxies(matched_galaxies.rows, spec, release.columns, tract, drawn)
    rows = galaxies.rows.to_arrow_reader(_BATCH_ROWS)
    table = write_rows(
        lake.open(),
        spec,
        rows,
        provenance,
        count=partial(account, galaxies.came, left_out=galaxies.left_out),
    )
    return TableResult(table, metadata={"sampling": drawn.text})


@lake_table(photoz_sample_spec, deps=["photoz_galaxies"], automation_condition=FOLLOW_SETTLED_TRACTS)
def photoz_sample(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource, sampling: SamplingResource
) -> TableResult:
    """The training, validation and test sets: of all tracts held, the smallest draws of each split.

    The same rows in the same order, whatever the order in which tracts came; their digest is the data version, so
    that nothing follows where no row has changed. No object and no redshift is there twice.
    """
    drawn, store, spec = sampling.sampling(), lake.open(), photoz_sample_spec(release)
    galaxies = photoz_galaxies_spec(release)
    fetched = store.publisher.fetch(galaxies.table)
    tracts = [tract for tract in fetched.places if tract is not None]
    files = dict(zip(tracts, snapshot(store, [fetched.places[tract] for tract in tracts]), strict=True))
    sources = {tract: read_source_footer(path, galaxies) for tract, path in files.items()}
    verdict = tracts_alike(sources, release, drawn)
    require_passed(spec, spec.table, [verdict])
    provenance = derived_provenance(
        spec,
        run_id=context.run.run_id,
        source=sources[tracts[0]],
        region=f"{len(tracts)} tracts",
        inputs=sources.values(),
        input_versions=fetched.versions,
        sampling=drawn,
    )
    sample = draw_sample(files, spec, drawn)
    verdicts = [verdict, same_population(sample.rows), nz_stable(sample.rows, former_rows(store, spec))]
    table = write_rows(
        store,
        spec,
        [sample.rows],
        provenance,
        verdicts,
        count=partial(account, sample.came, left_out=sample.left_out),
    )
    splits = sample.rows.column("split").to_pylist()
    return TableResult(
        table,
        metadata={split: splits.count(split) for split in SPLITS} | {"sampling": drawn.text},
        data_version=rows_digest(sample.rows),
    )


def photoz_exports(release: Release) -> dg.AssetsDefinition:
    """Return the asset ``photoz_exports`` of a release: files for others, and no table of the lake."""
    key = asset_key(release, _EXPORTS)
    make = dg.asset(
        key=key,
        ins={name: dg.AssetIn(key=asset_key(release, name)) for name in stored_inputs(_photoz_exports)},
        group_name=GROUP,
        kinds={"hdf5", "parquet"},
        owners=OWNERS,
        code_version=_EXPORTS_VERSION,
        partitions_def=PROFILE_PARTITIONS,
        metadata=code_reference(_photoz_exports),
        check_specs=[check_spec(PROFILE_CLEAN, key, PROFILE_PARTITIONS)],
        output_required=False,
        automation_condition=FOLLOW_CHANGED,
    )
    return make(_photoz_exports)


def _photoz_exports(
    context: dg.AssetExecutionContext, lake: LakeResource, photoz_sample: StoredTable
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """The training, validation and test sets as files that others read with no option set, a profile a reader.

    Each with the reader's own names, groups and marks for what is missing. Galaxies that a profile cannot say are
    left out and counted. The provenance stands in each file, and beside them who may have them. They are published
    only if they hold, read back, what was to be written.
    """
    profile, [source] = PROFILES[context.partition_key], photoz_sample.sources
    provenance = replace(
        source,
        table=_EXPORTS,
        code_version=_EXPORTS_VERSION,
        run_id=context.run.run_id,
        inputs=(source.identity,),
        input_versions={**source.input_versions, **photoz_sample.versions},
        **run_versions(),
    )
    with as_dagster_failure():
        try:
            written = write_profile(lake.open(), profile, photoz_sample.rows, provenance)
        except TableRefusedError as error:
            yield from (check_result(PROFILE_CLEAN, verdict) for verdict in error.verdicts)
            raise
    yield check_result(PROFILE_CLEAN, written.verdict)
    metadata: dict[str, Any] = {
        "folder": dg.MetadataValue.path(written.folder),
        "reader": profile.reader,
        "rows": written.rows,
        "provenance": dg.MetadataValue.json(provenance.to_dict()),
    }
    yield dg.Output(None, metadata=metadata)
