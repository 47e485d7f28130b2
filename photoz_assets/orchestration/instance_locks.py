"""A lake's locks in the database of Dagster's instance, where that is Postgres: for all machines that reach it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import dagster as dg

from photoz_assets.environment import StoreUrl
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.postgres_locks import PostgresLocks, lake_identity
from photoz_assets.lake.postgres_records import PostgresJobRecords


def database_of(instance: dg.DagsterInstance | None) -> str | None:
    """Return the URL of the database that an instance keeps its runs in, where that is Postgres."""
    url = None if instance is None else getattr(instance.run_storage, "postgres_url", None)
    return None if url is None else str(url)


def locks_in(database: str, place: Path | StoreUrl) -> PostgresLocks:
    """Return the locks of the lake in a place; nothing is taken yet."""
    lake = open_lake(place)
    return PostgresLocks(database, lake_identity(lake.work) if lake.store is None else lake.name)


def with_locks(place: Path | StoreUrl, locks: PostgresLocks | None) -> Lake:
    """Return the lake in a place, with these locks and the records of jobs beside them; by default its own."""
    return replace(open_lake(place, locks), shared_records=None if locks is None else PostgresJobRecords(locks))


@contextmanager
def shared_lake(place: Path | StoreUrl, instance: dg.DagsterInstance) -> Iterator[Lake]:
    """Give the lake in a place, for the time of a block, the locks of all who share an instance."""
    database = database_of(instance)
    locks = None if database is None else locks_in(database, place)
    try:
        yield with_locks(place, locks)
    finally:
        if locks is not None:
            locks.close()
