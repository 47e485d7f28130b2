"""A survey of ten thousand tracts in an object store: what its state, its views and a tract cost.

``python -m benchmarks.store s3://bucket/prefix`` on the server that the AWS_* variables name; the prefix must be
empty. The tracts are tiny, as those of ``benchmarks.survey``, and come into the log by one commit: to read, it is
then as one that ten thousand commits made and a checkpoint gathered.
"""

import json
import tempfile
import time
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TypeVar

import click
import dagster as dg
from deltalake import DeltaTable
from deltalake.transaction import AddAction, create_table_with_add_actions

import photoz_assets
from benchmarks.survey import make_tracts, survey_of
from photoz_assets.environment import StoreUrl, named_lake
from photoz_assets.lake.delta_publisher import IDENTITY, LAYOUT, log_schema
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.object_store import LOG_OPTIONS, ObjectStore
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.publishing import LOG_COLUMNS, TRACT_KEY
from photoz_assets.orchestration.tract_status import tract_states
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.selection import Selection

_TABLE = "matched_galaxies"
_AT_A_TIME = 16
_Found = TypeVar("_Found")


def fill(url: StoreUrl, release: Release) -> None:
    """Put a tiny table of each tract into a store, and a log that names them all."""
    store, spec = ObjectStore(url), matched_galaxies_spec(release)
    with tempfile.TemporaryDirectory() as folder:
        lake = Lake(Path(folder))
        make_tracts(lake, release)
        first = lake.provenance(_TABLE, release.tracts[0])
        values = {
            "selection": json.dumps(asdict(Selection())),
            "code_version": first.code_version,
            "created": first.created,
        }

        def put(tract: int) -> AddAction:
            place, name = lake.place(_TABLE, tract), f"{TRACT_KEY}={tract}/{_TABLE}-{uuid.uuid4().hex}.parquet"
            store.put(f"{_TABLE}/{name}", place)
            where = {TRACT_KEY: str(tract), **values}
            return AddAction(name, place.stat().st_size, where, time.time_ns() // 1_000_000, True, "{}")  # noqa: FBT003 - its place

        with ThreadPoolExecutor(_AT_A_TIME) as writers:
            actions = list(writers.map(put, release.tracts))
    identity = json.dumps({"layout": LAYOUT, "archive": first.to_dict()["archive"]})
    store.put(IDENTITY, identity.encode(), create=True)
    columns, log = [TRACT_KEY, *LOG_COLUMNS], f"{url}/{_TABLE}"
    schema = log_schema(spec.schema, columns)
    create_table_with_add_actions(log, schema, actions, partition_by=columns, storage_options=LOG_OPTIONS)
    DeltaTable(log, storage_options=LOG_OPTIONS).create_checkpoint()


def measure(url: StoreUrl, release: Release) -> None:
    """Say what reading costs, thrice each."""
    one = f"SELECT avg(ts_redshift) FROM {_TABLE} WHERE tract = {release.tracts[-1]}"
    with dg.DagsterInstance.ephemeral() as instance:
        for _ in range(3):
            _say("how each tract stands", lambda: tract_states(open_lake(url), instance, release, Selection()))
    for _ in range(3):
        connection = _say("connect()", lambda: photoz_assets.connect(str(url)))
        _say("one tract by its key", lambda: connection.execute(one).fetchall())  # noqa: B023 - called at once
    _say(
        "distinct tracts of all files",
        lambda: connection.execute(f"SELECT DISTINCT tract FROM {_TABLE}").fetchall(),
    )


def _say(what: str, function: Callable[[], _Found]) -> _Found:
    seconds, processor = time.perf_counter(), time.process_time()
    found = function()
    seconds, processor = time.perf_counter() - seconds, time.process_time() - processor
    click.echo(f"{what}: {seconds:.2f} s, processor {processor:.2f} s")
    return found


@click.command()
@click.argument("url")
@click.option("--tracts", default=10_000, show_default=True)
def main(url: str, tracts: int) -> None:
    """Fill an empty prefix of a store with tiny tracts, and read them."""
    place, release = named_lake(url), survey_of(tracts)
    if not isinstance(place, StoreUrl):
        raise click.BadParameter("name an empty prefix of a store, s3://bucket/prefix")
    fill(place, release)
    measure(place, release)


if __name__ == "__main__":
    main()
