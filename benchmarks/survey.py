"""A survey of ten thousand tracts: what its state, its views, a tick and the page's queries cost.

The tracts are tiny, of two galaxies, since what is measured here follows their number.
"""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from itertools import count, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import Measured

if TYPE_CHECKING:
    import dagster as dg

    from photoz_assets.lake.layout import Lake
    from photoz_assets.survey.releases.release import Release

_ROWS = 2
# From here on the Rings skymap of DC2 has more than ten thousand tracts.
_FIRST_TRACT = 2_000
# As the archive declares itself that the runs ask, whose tracts these then take.
_ARCHIVE = "Embedded archive, simulated (density 0.01, seed 1)"
_ASSETS = '{assetNodeOrError(assetKey: {path: ["matched_galaxies"]}) {... on AssetNode %s}}'
_PAGE_QUERIES = {
    "statuses of the tracts": _ASSETS
    % "{assetPartitionStatuses {... on DefaultPartitionStatuses {materializedPartitions failedPartitions "
    "unmaterializedPartitions materializingPartitions}}}",
    "numbers of tracts": _ASSETS % "{partitionStats {numMaterialized numPartitions numFailed numMaterializing}}",
    "keys of the tracts": _ASSETS % "{partitionKeysByDimension {name partitionKeys}}",
    "checks": _ASSETS
    % "{assetChecksOrError {... on AssetChecks {checks {name executionForLatestMaterialization {status}}}}}",
    "newest runs": "{runsOrError(limit: 25) {... on Runs {results {runId status tags {key value}}}}}",
    "newest materializations": _ASSETS % "{assetMaterializations(limit: 100) {timestamp partition}}",
}


def survey_of(number: int) -> "Release":
    """Return DP0.2 with so many tracts, its own first."""
    from photoz_assets.survey.releases.dp02 import RELEASE

    others = (tract for tract in count(_FIRST_TRACT) if tract not in RELEASE.tracts)
    more = islice(others, max(0, number - len(RELEASE.tracts)))
    return replace(RELEASE, tracts=tuple(sorted((*RELEASE.tracts[:number], *more))))


def make_tracts(lake: "Lake", release: "Release") -> None:
    """Fill a lake with tiny tracts as they are stored, but for the bytes of their VOTable header."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from photoz_assets.lake.provenance import PROVENANCE_KEY, ArchiveIdentity, Provenance, run_versions
    from photoz_assets.lake.voparquet import file_metadata
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.queries import WHOLE, Dialect, matched_galaxies_query
    from photoz_assets.survey.selection import Selection

    spec = matched_galaxies_spec(release)
    values = [pa.array(["1"] * _ROWS if field.type == pa.string() else [1] * _ROWS) for field in spec.schema]
    table = pa.table(
        [value.cast(field.type) for value, field in zip(values, spec.schema, strict=True)], spec.schema
    )
    provenance = Provenance(
        table=spec.table,
        code_version=spec.code_version,
        selection=Selection(),
        archive=ArchiveIdentity.declared(release.schema, _ARCHIVE, {}),
        adql=matched_galaxies_query(
            release, release.tracts[0], Selection(), Dialect(box_function=True, text_flags=False), WHOLE
        ),
        rows_stored=_ROWS,
        **run_versions(),
    )
    metadata = file_metadata(spec, provenance, {column.name: 1 for column in spec if column.type == pa.string()})
    for tract in release.tracts:
        path = lake.table(spec.table, tract)
        path.parent.mkdir(parents=True, exist_ok=True)
        stored = replace(provenance, tract=tract, run_id=f"synthetic-{tract}")
        with pq.ParquetWriter(path, table.schema, compression="zstd", store_schema=False) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata({**metadata, PROVENANCE_KEY.decode(): stored.to_json()})


def tracts_made(lake: str, number: int, home: str | None = None) -> Measured:
    """Make a survey: its files and, in an instance, a materialization of each tract."""
    import dagster as dg

    from photoz_assets.lake.layout import Lake

    release = survey_of(number)

    def run() -> dict[str, Any]:
        make_tracts(Lake(Path(lake)), release)
        if home is not None:
            Path(home).mkdir(parents=True, exist_ok=True)
            with dg.DagsterInstance.local_temp(home) as instance:
                for tract in release.tracts:
                    instance.report_runless_asset_event(
                        dg.AssetMaterialization("matched_galaxies", partition=str(tract))
                    )
        return {}

    return run


def survey_state(lake: str, number: int, home: str) -> Measured:
    """Judge each tract, as a tick and ``photoz status`` do, with the footers seen before."""
    import dagster as dg

    from photoz_assets.lake.layout import Lake
    from photoz_assets.orchestration.tract_status import counted, tract_states
    from photoz_assets.survey.selection import Selection

    release = survey_of(number)

    def judge() -> dict[str, Any]:
        with dg.DagsterInstance.local_temp(home) as instance:
            return dict(counted(tract_states(Lake(Path(lake)), instance, release, Selection())))

    judge()
    return judge


def survey_views(lake: str, number: int) -> Measured:
    """Open the views of a survey and look at one tract, as a process that has just begun."""
    import photoz_assets
    from photoz_assets.lake.footers import read_footers
    from photoz_assets.lake.layout import Lake

    store, tract = Lake(Path(lake)), survey_of(number).tracts[-1]
    read_footers(store, "matched_galaxies", store.files("matched_galaxies"))

    def run() -> dict[str, Any]:
        connecting, connection = _timed(lambda: photoz_assets.connect(lake))
        one = f"SELECT avg(ts_redshift) FROM matched_galaxies WHERE tract = {tract}"
        asking, _ = _timed(lambda: connection.execute(one).fetchall())
        everything = "SELECT count(*) FROM matched_galaxies"
        counting, [(rows,)] = _timed(lambda: connection.execute(everything).fetchall())
        return {"connect": connecting, "tract": asking, "count": counting, "rows": rows}

    return run


def survey_tick(lake: str, number: int, home: str) -> Measured:
    """Evaluate a tick of the refresh of an empty lake, and make the runs that it requests."""
    import dagster as dg

    from photoz_assets.definitions import build_definitions
    from photoz_assets.orchestration.io_manager import LakeResource

    release = survey_of(number)
    resources = {"lake": LakeResource(data_dir=lake)}
    repository = build_definitions(release=release, resources=resources).get_repository_def()
    schedule, job = repository.get_schedule_def("refresh_tracts_daily"), repository.get_job("refresh_tracts")

    def tick(instance: "dg.DagsterInstance") -> dict[str, Any]:
        with dg.build_schedule_context(
            instance=instance,
            repository_def=repository,
            scheduled_execution_time=datetime.now(UTC),
            resources={name: repository.get_top_level_resources()[name] for name in ("lake", "selection")}
            | {"release": release},
        ) as context:
            evaluating, found = _timed(lambda: schedule.evaluate_tick(context))
        requests = found.run_requests or []
        creating, _ = _timed(lambda: [instance.create_run_for_job(job, tags=each.tags) for each in requests])
        return {"evaluate": evaluating, "create": creating, "requests": len(requests)}

    def run() -> dict[str, Any]:
        Path(home).mkdir(parents=True, exist_ok=True)
        with dg.DagsterInstance.local_temp(home) as instance:
            return tick(instance)

    return run


def survey_page(number: int, home: str, folder: str) -> Measured:
    """Ask what the page asks of a survey's asset."""
    import dagster as dg
    from dagster._core.workspace.context import WorkspaceProcessContext
    from dagster._core.workspace.load_target import PythonFileTarget
    from dagster_graphql.test.utils import execute_dagster_graphql

    module = Path(folder) / "survey_location.py"
    module.write_text(
        "from benchmarks.survey import survey_of\nfrom photoz_assets.definitions import build_definitions\n"
        f"defs = build_definitions(release=survey_of({number}))\n"
    )
    target = PythonFileTarget(
        python_file=str(module), attribute="defs", working_directory=str(Path.cwd()), location_name="survey"
    )

    def run() -> dict[str, Any]:
        with (
            dg.DagsterInstance.local_temp(home) as instance,
            WorkspaceProcessContext(instance, target) as context,
            context.create_request_context() as request,
        ):

            def ask(query: str) -> float:
                return _timed(lambda: json.dumps(execute_dagster_graphql(request, query).data))[0]

            return {"queries": {name: ask(query) for name, query in _PAGE_QUERIES.items()}}

    return run


def survey_run(url: str, lake: str, home: str, number: int, tracts: list[int]) -> Measured:
    """Refresh some tracts of a survey by the job, the first of them unmeasured."""
    import dagster as dg

    from photoz_assets.definitions import build_definitions
    from photoz_assets.orchestration.io_manager import LakeResource
    from photoz_assets.orchestration.resources import ArchiveResource

    resources = {"archive": ArchiveResource(url=url), "lake": LakeResource(data_dir=lake)}
    job = build_definitions(release=survey_of(number), resources=resources).resolve_job_def("refresh_tracts")
    quiet = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}
    Path(home).mkdir(parents=True, exist_ok=True)

    def refresh(some: list[int]) -> dict[str, Any]:
        with dg.DagsterInstance.local_temp(home) as instance:
            for tract in some:
                job.execute_in_process(instance=instance, partition_key=str(tract), run_config=quiet)
        return {}

    refresh(tracts[:1])
    return lambda: refresh(tracts[1:])


def _timed(function: "Callable[[], Any]") -> tuple[float, Any]:
    """Give the seconds that something takes, and what it gives."""
    started = time.perf_counter()
    found = function()
    return time.perf_counter() - started, found


SURVEY: dict[str, Callable[..., Measured]] = {
    function.__name__: function
    for function in (tracts_made, survey_state, survey_views, survey_tick, survey_page, survey_run)
}
