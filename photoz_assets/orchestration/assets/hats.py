"""The galaxies of all tracts as a HATS collection, made when a person asks for it."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

import dagster as dg

from photoz_assets.lake.provenance import derived_provenance
from photoz_assets.lake.snapshot import snapshot
from photoz_assets.lake.tables import read_source_footer
from photoz_assets.lake.writing import TableRefusedError
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.assets.support import selections
from photoz_assets.orchestration.check_results import check_result, check_spec
from photoz_assets.orchestration.checks.galaxies import mixed_tracts
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.lake_table import OWNERS, code_reference
from photoz_assets.orchestration.resources import ReleaseParam
from photoz_assets.photoz.hats_collection import (
    COLLECTION_CLEAN,
    MARGIN_ARCSEC,
    CollectionError,
    write_collection,
)
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.photoz import GROUP
from photoz_assets.survey.releases.release import Release

NAME: Final = "galaxies_hats"
_VERSION: Final = "1"


def _galaxies_hats(
    context: dg.AssetExecutionContext, release: ReleaseParam, lake: LakeResource
) -> Iterator[dg.Output[None] | dg.AssetCheckResult]:
    """The galaxies of all tracts held as a HATS collection with a margin of 10 arcsec: LSDB crossmatches it.

    On demand alone, with the extra `hats`. The rows are those of `matched_galaxies` at one moment, read back
    before they are published. All of it is made anew, whichever tract has changed. The provenance stands in its
    properties.
    """
    with as_dagster_failure():
        store, spec = lake.open(), matched_galaxies_spec(release)
        tracts = store.tracts(spec.table)
        if not tracts:
            raise CollectionError(f"the lake holds no tract yet: materialize {spec.table} first")
        files = snapshot(store, [store.table(spec.table, tract) for tract in tracts])
        sources = [read_source_footer(path, spec) for path in files]
        if mixed := mixed_tracts(selections(sources, release), "selections"):
            raise CollectionError(f"the collection is not made. {mixed}")
        provenance = replace(
            derived_provenance(
                spec,
                run_id=context.run.run_id,
                source=sources[0],
                region=f"{len(tracts)} tracts",
                inputs=sources,
            ),
            table=NAME,
            code_version=_VERSION,
        )
        try:
            written = write_collection(store, release, files, provenance, context.log.info)
        except TableRefusedError as error:
            yield from (check_result(COLLECTION_CLEAN, verdict) for verdict in error.verdicts)
            raise
    yield check_result(COLLECTION_CLEAN, written.verdict)
    yield dg.Output(
        None,
        metadata={
            "folder": dg.MetadataValue.path(written.folder),
            "rows": written.rows,
            "pixels": written.pixels,
            "margin_arcsec": MARGIN_ARCSEC,
            "provenance": dg.MetadataValue.json(provenance.to_dict()),
        },
    )


def galaxies_hats(release: Release) -> dg.AssetsDefinition:
    """Return the asset ``galaxies_hats`` of a release: a collection for others, and no table of the lake."""
    key = asset_key(release, NAME)
    make = dg.asset(
        key=key,
        deps=[asset_key(release, "matched_galaxies")],
        group_name=GROUP,
        kinds={"hats", "parquet"},
        owners=OWNERS,
        code_version=_VERSION,
        metadata=code_reference(_galaxies_hats),
        check_specs=[check_spec(COLLECTION_CLEAN, key, None)],
        output_required=False,
    )
    return make(_galaxies_hats)
