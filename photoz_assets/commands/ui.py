"""The Dagster UI with all that it needs: web page, daemon and, while no archive is named, the embedded one.

Three processes that start and end together. Each line that they print is prefixed with the name of its process.
"""

import errno
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import requests

from photoz_assets import environment
from photoz_assets.commands.instance import setting_up

Log = Callable[[str], None]

_READY_SECONDS: Final = 120.0
# For all parts together, and for each at least.
_GRACE_SECONDS: Final = 30.0
_LEAST_GRACE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.3
_LAST_LINES: Final = 15
_URL: Final = re.compile(r"https?://\S+")
# Reads process groups, a line each, and ends them when its input ends: when this process does, killed or not.
_GUARD: Final = 'while read -r group; do groups="$groups -$group"; done; kill -s TERM -- $groups'


class UiError(RuntimeError):
    """The UI cannot start or has ended; the text says why and what to do."""


@dataclass
class Part:
    """One process of the UI and the last lines that it printed."""

    name: str
    process: "subprocess.Popen[str]"
    last: deque[str] = field(default_factory=lambda: deque(maxlen=_LAST_LINES))
    first_url: str | None = None

    def stop(self, grace_seconds: float) -> None:
        """Ask it to end, with its children; end what has not by then, or when there is no patience for it."""
        self._signal(signal.SIGTERM)
        try:
            self.process.wait(grace_seconds)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            self._signal(signal.SIGKILL)
            self.process.wait()

    def _signal(self, number: signal.Signals) -> None:
        # It leads a process group of its own; what it started ends with it.
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Parts:
    """The processes of the UI; a context manager that ends them all, the last started first."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        # Not where a `.env` lies: Dagster would let it win over what the caller has set.
        self._folder = folder
        self._running: list[Part] = []

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(  # noqa: S603 - the words above, nobody else's
            ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        until = time.monotonic() + _GRACE_SECONDS
        for part in reversed(self._running):
            part.stop(max(until - time.monotonic(), _LEAST_GRACE_SECONDS))
        # Nothing is left to guard, and another process may get a number that was one of these groups'.
        self._guard.kill()
        self._guard.communicate()

    def start(self, name: str, command: list[str], variables: Mapping[str, str]) -> Part:
        """Start a command of this environment and pass on what it prints."""
        executable = Path(sys.executable).with_name(command[0])
        process = subprocess.Popen(  # noqa: S603 - the project's own commands
            [str(executable), *command[1:]],
            env=dict(variables),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        part = Part(name=name, process=process)
        self._running.append(part)
        if self._guard.stdin is not None:
            self._guard.stdin.write(f"{process.pid}\n".encode())
            self._guard.stdin.flush()
        threading.Thread(target=self._relay, args=(part,), daemon=True).start()
        return part

    def check(self) -> None:
        """See that all parts are running.

        Raises
        ------
        UiError
            One has ended, with the last that it printed.
        """
        for part in self._running:
            if (code := part.process.poll()) is not None:
                said = "\n".join(part.last)
                raise UiError(f"the {part.name} has ended with exit code {code}. Its last words:\n{said}")

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until something is so, while all parts run.

        Raises
        ------
        UiError
            It takes too long, or a part has ended.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise UiError(f"{what} did not answer within {_READY_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _relay(self, part: Part) -> None:
        for line in part.process.stdout or ():
            part.last.append(line.rstrip())
            if part.first_url is None and (found := _URL.search(line)):
                part.first_url = found[0]
            self._log(f"[{part.name}] {line.rstrip()}")


def serve(*, host: str, port: int, workspace: Path, home: Path, with_parent: bool, log: Log) -> None:
    """Run the UI until it is interrupted or a part of it ends.

    Parameters
    ----------
    host, port
        Where the page answers.
    workspace
        The Dagster workspace to show.
    home
        Dagster's folder; the processes run there.
    with_parent
        Whether to end with the process that started this one too.
    log
        Is told each line that the processes print.

    Raises
    ------
    UiError
        The host is not this machine's, the port is taken, or a part ended or did not start.
    """
    _refuse_unusable(host, port)
    # SIGINT too: what a script starts in the background would otherwise ignore it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    url = f"http://{host}:{port}"
    parent = os.getppid()
    with Parts(log, home) as parts:
        variables = dict(os.environ)
        if environment.tap_url() is None:
            # A token is for the archive that it was made for, and the embedded one asks for none.
            for name in ("PHOTOZ_TAP_TOKEN", "ACCESS_TOKEN"):
                variables.pop(name, None)
            variables["PHOTOZ_TAP_URL"] = _embedded_archive(parts, variables)
        named = ["-w", str(workspace)]
        with setting_up(home, log):
            parts.start("page", ["dagster-webserver", *named, "-h", host, "-p", str(port)], variables)
            parts.wait_for("the page", lambda: _answers(url))
        parts.start("daemon", ["dagster-daemon", "run", *named], variables)
        log(f"The Dagster UI is at {url} - Ctrl-C ends it.")
        while not (with_parent and os.getppid() != parent):
            parts.check()
            time.sleep(_POLL_SECONDS)


def _embedded_archive(parts: Parts, variables: Mapping[str, str]) -> str:
    """Start the embedded archive as a server for all runs; give its URL, the first that it prints."""
    command = ["photoz-archive", "--port", "0", "--data-dir", str(environment.archive_dir())]
    part = parts.start("archive", [*command, "--density", str(environment.archive_density())], variables)
    parts.wait_for("the embedded archive", lambda: part.first_url is not None)
    return str(part.first_url)


def _refuse_unusable(host: str, port: int) -> None:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UiError(
                    f"{host} is no IPv4 address or name of this machine ({error.strerror}): take another host, or "
                    "none for 127.0.0.1: .venv/bin/photoz ui"
                ) from error
            raise UiError(
                f"{host}:{port} cannot be had ({error.strerror}): end what listens there, or take another port: "
                f".venv/bin/photoz ui --port {port + 1}"
            ) from error


def _answers(url: str) -> bool:
    with requests.Session() as session:
        # No proxy stands between this machine and itself.
        session.trust_env = False
        try:
            return session.get(f"{url}/server_info", timeout=2).ok
        except requests.RequestException:
            return False


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
    raise KeyboardInterrupt
