"""A Postgres server of the tests' own, of Debian's postgresql."""

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

# Debian keeps a server's commands off the path, for several versions to stand beside each other.
COMMANDS: Final = sorted(Path("/usr/lib/postgresql").glob("*/bin"))

needs_postgres: Final = pytest.mark.skipif(
    not COMMANDS or importlib.util.find_spec("psycopg2") is None,
    reason="needs Postgres (apt-get install postgresql) and psycopg2, which dagster-postgres brings",
)


def database_url(port: int, user: str = "photoz") -> str:
    """Return the URL of a server on loopback, as Dagster's settings have it."""
    return f"postgresql+psycopg2://{user}:secret@127.0.0.1:{port}/postgres"


class Database:
    """A Postgres server on loopback, with its files in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = int(probe.getsockname()[1])
        self._data = folder / "data"
        # Postgres refuses to run as root.
        self._as_user = ["runuser", "-u", "postgres", "--"] if os.getuid() == 0 else []
        if self._as_user:
            shutil.chown(folder, "postgres")

    def run(self, command: str, *arguments: str) -> str:
        """Run one of Postgres's own commands."""
        line = [*self._as_user, str(COMMANDS[-1] / command), *arguments]
        done = subprocess.run(
            line, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True
        )
        return done.stdout

    def start(self) -> None:
        """Make the server's files and start it."""
        self.run("initdb", "-D", str(self._data), "-U", "photoz", "--auth=trust")
        options = f"-p {self.port} -k {self._data.parent} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = str(self._data.parent / "log")
        self.run("pg_ctl", "-D", str(self._data), "-w", "-l", log, "-o", options, "start")

    @property
    def url(self) -> str:
        """Its URL, as Dagster's settings have it."""
        return database_url(self.port)

    def stop(self) -> None:
        """Stop it, unless it has been stopped."""
        if not (self._data / "postmaster.pid").exists():
            return
        self.run("pg_ctl", "-D", str(self._data), "-m", "fast", "stop")

    def ask(self, sql: str) -> str:
        """Return the one value that a query has."""
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "photoz", "-d", "postgres"]
        return self.run("psql", *where, "-Atc", sql).strip()


@contextmanager
def running_database() -> Iterator[Database]:
    """Run a server for the time of a block."""
    # Not below pytest's folder: that is its user's alone.
    with tempfile.TemporaryDirectory(prefix="photoz-postgres-") as folder:
        database = Database(Path(folder))
        database.start()
        try:
            yield database
        finally:
            database.stop()
