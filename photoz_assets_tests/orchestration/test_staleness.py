"""Dagster's own pages say which tracts are out of date, by the versions that the assets and observations carry."""

from collections.abc import Iterator

import dagster as dg
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.definitions import build_definitions
from photoz_assets_tests.runs import Runs

TRACT, OTHER = 3638, 3637


def _causes(runs: Runs, asset: str, tract: int) -> list[str]:
    """List why Dagster's page calls an asset of a tract out of date."""
    graph = build_definitions().resolve_asset_graph()
    resolver = CachingStaleStatusResolver(runs.instance, graph, LoadingContextForTest(runs.instance))
    return [cause.reason for cause in resolver.get_stale_causes(dg.AssetKey(asset), str(tract))]


@pytest.fixture
def grown(archive: ArchiveServer) -> Iterator[None]:
    """An archive that lists one object more in a patch of the tract."""

    def rewrite(batch: pa.RecordBatch) -> pa.RecordBatch:
        if "meanRA" not in batch.schema.names:
            return batch
        index = batch.schema.get_field_index("num")
        is_tract = pc.equal(batch.column("tract"), TRACT)
        more = pc.add(batch.column(index), is_tract.cast(batch.schema.field(index).type))
        return batch.set_column(index, batch.schema.field(index), more)

    archive.faults = Faults(rewrite=rewrite)
    yield
    archive.faults = Faults()


def test_tract_that_changed_at_the_archive_has_a_new_dependency_data_version(
    runs: Runs, archive: ArchiveServer, request: pytest.FixtureRequest
) -> None:
    assert runs("skyinfo").success
    for tract in (TRACT, OTHER):
        assert runs("matched_galaxies", tract=tract).success
        assert _causes(runs, "matched_galaxies", tract) == []
    assert runs("skyinfo").success
    assert _causes(runs, "matched_galaxies", TRACT) == []
    request.getfixturevalue("grown")
    assert runs("skyinfo").success
    archive.faults = Faults()
    assert _causes(runs, "matched_galaxies", TRACT) == ["has a new dependency data version"]
    assert _causes(runs, "matched_galaxies", OTHER) == []
    assert runs("matched_galaxies", tract=TRACT).success
    assert _causes(runs, "matched_galaxies", TRACT) == []
