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
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Self

import requests

from photoz_assets.commands.instance import setting_up
from photoz_assets.environment import SHARED_ARCHIVE, STARTED_IN, Settings, checkout_root, photoz_command
from photoz_assets.errors import PhotozError
from photoz_assets.lake.locks import FileLock

Log = Callable[[str], None]

_READY_SECONDS: Final = 120.0
# For all services together, and for each at least.
_GRACE_SECONDS: Final = 30.0
_LEAST_GRACE_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.3
_LAST_LINES: Final = 15
_URL: Final = re.compile(r"https?://\S+")
# Reads process groups, a line each, and ends them when its input ends: when this process does, killed or not.
_GUARD: Final = 'while read -r group; do groups="$groups -$group"; done; kill -s TERM -- $groups'


class UiError(PhotozError):
    """The UI cannot start or has ended; the text says why and what to do."""


@dataclass
class Service:
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


class Services:
    """The processes of the UI; a context manager that ends them all, the last started first."""

    def __init__(self, log: Log, folder: Path) -> None:
        self._log = log
        # Not where a `.env` lies: Dagster would let it win over what the caller has set.
        self._folder = folder
        self._running: list[Service] = []

    def __enter__(self) -> Self:
        self._guard = subprocess.Popen(  # noqa: S603 - the words above, nobody else's
            ["/bin/sh", "-c", _GUARD], stdin=subprocess.PIPE, start_new_session=True
        )
        return self

    def __exit__(self, *error: object) -> None:
        until = time.monotonic() + _GRACE_SECONDS
        for service in reversed(self._running):
            service.stop(max(until - time.monotonic(), _LEAST_GRACE_SECONDS))
        # Nothing is left to guard, and another process may get a number that was one of these groups'.
        self._guard.kill()
        self._guard.communicate()

    def start(self, name: str, command: list[str], variables: Mapping[str, str]) -> Service:
        """Start a command of this environment and pass on what it prints."""
        process = subprocess.Popen(  # noqa: S603 - the project's own commands
            command,
            env=dict(variables),
            cwd=self._folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        service = Service(name=name, process=process)
        self._running.append(service)
        if self._guard.stdin is not None:
            self._guard.stdin.write(f"{process.pid}\n".encode())
            self._guard.stdin.flush()
        threading.Thread(target=self._relay, args=(service,), daemon=True).start()
        return service

    def check(self) -> None:
        """See that all services are running.

        Raises
        ------
        UiError
            One has ended, with the last that it printed.
        """
        for service in self._running:
            if (code := service.process.poll()) is not None:
                said = "\n".join(service.last)
                raise UiError(f"the {service.name} has ended with exit code {code}. Its last words:\n{said}")

    def wait_for(self, what: str, ready: Callable[[], bool]) -> None:
        """Wait until something is so, while all services run.

        Raises
        ------
        UiError
            It takes too long, or a service has ended.
        """
        deadline = time.monotonic() + _READY_SECONDS
        while not ready():
            self.check()
            if time.monotonic() > deadline:
                raise UiError(f"{what} did not answer within {_READY_SECONDS:.0f} s")
            time.sleep(_POLL_SECONDS)

    def _relay(self, service: Service) -> None:
        for line in service.process.stdout or ():
            service.last.append(line.rstrip())
            if service.first_url is None and (found := _URL.search(line)):
                service.first_url = found[0]
            self._log(f"[{service.name}] {line.rstrip()}")


def serve(*, host: str, port: int, workspace: Path, settings: Settings, with_parent: bool, log: Log) -> None:
    """Run the UI until it is interrupted or a service of it ends.

    Parameters
    ----------
    host, port
        Where the page answers.
    workspace
        The Dagster workspace to show.
    settings
        Where Dagster's folder lies, in which the processes run, and which archive they ask.
    with_parent
        Whether to end with the process that started this one too.
    log
        Is told each line that the processes print.

    Raises
    ------
    UiError
        Dagster's folder has a page already, the host is not this machine's, the port is taken, or a service ended
        or did not start.
    """
    # SIGINT too: what a script starts in the background would otherwise ignore it.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)
    url = f"http://{host}:{port}"
    parent = os.getppid()
    with _alone(settings.dagster_home, url), Services(log, settings.dagster_home) as services:
        refuse_unusable(host, port, "ui")
        variables = os.environ | {STARTED_IN: str(checkout_root())}
        if settings.tap_url is None:
            # A token is for the archive that it was made for, and the embedded one asks for none.
            for name in ("PHOTOZ_TAP_TOKEN", "ACCESS_TOKEN"):
                variables.pop(name, None)
            variables["PHOTOZ_TAP_URL"] = _embedded_archive(services, settings, variables)
            variables[SHARED_ARCHIVE] = variables["PHOTOZ_TAP_URL"]
        named = ["-w", str(workspace)]
        with setting_up(settings.dagster_home, log):
            page = [sys.executable, "-P", "-m", "photoz_assets.commands.page", host, "-p", str(port), *named]
            services.start("page", page, variables)
            services.wait_for("the page", lambda: _answers(url))
        services.start("daemon", [_script("dagster-daemon"), "run", *named], variables)
        log(f"The Dagster UI is at {url} - Ctrl-C ends it.")
        while not (with_parent and os.getppid() != parent):
            services.check()
            time.sleep(_POLL_SECONDS)


@contextmanager
def _alone(home: Path, url: str) -> Iterator[None]:
    """Hold a folder of Dagster's for the one page and the one daemon that it may have.

    Raises
    ------
    UiError
        It has them already.
    """
    path = home / ".ui"
    lock = FileLock.acquire(path)
    if lock is None:
        raise UiError(
            f"{home} has its page and its daemon already: {path.read_text() or 'another photoz ui'}. "
            "Take that one, end it, or set DAGSTER_HOME to another folder"
        )
    try:
        with suppress(OSError):
            lock.write(f"process {os.getpid()} serves {url}")
        yield
    finally:
        lock.release()


def _embedded_archive(services: Services, settings: Settings, variables: Mapping[str, str]) -> str:
    """Start the embedded archive as a server for all runs; return its URL, the first that it prints."""
    command = [_script("photoz-archive"), "--port", "0", "--data-dir", str(settings.archive_dir)]
    if settings.archive_density is not None:
        command += ["--density", str(settings.archive_density)]
    service = services.start("archive", command, variables)
    services.wait_for("the embedded archive", lambda: service.first_url is not None)
    return str(service.first_url)


def refuse_unusable(host: str, port: int, command: str) -> None:
    """Refuse an address on which nothing can listen before anything says that it is served there.

    Raises
    ------
    UiError
        The host is not this machine's, or the port is taken; the text has the command of ``photoz`` that helps.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
                raise UiError(
                    f"{host} is no IPv4 address or name of this machine ({error.strerror}): take another host, or "
                    f"none for 127.0.0.1: {photoz_command()} {command}"
                ) from error
            raise UiError(
                f"{host}:{port} cannot be had ({error.strerror}): end what listens there, or take another port: "
                f"{photoz_command()} {command} --port {port + 1}"
            ) from error


def _script(name: str) -> str:
    """Return the path of a command that is installed beside this one."""
    return str(Path(sys.executable).with_name(name))


def _answers(url: str) -> bool:
    """Return whether the page answers.

    Raises
    ------
    UiError
        It answers pages of other sites as well.
    """
    with requests.Session() as session:
        # No proxy stands between this machine and itself.
        session.trust_env = False
        try:
            answered = session.get(f"{url}/server_info", timeout=2).ok
            foreign = session.get(f"{url}/server_info", headers={"Sec-Fetch-Site": "cross-site"}, timeout=2)
        except requests.RequestException:
            return False
    if answered and foreign.ok:
        raise UiError(
            "the page answers other sites' pages, which could start runs by it: install the version of "
            "dagster-webserver that this project names"
        )
    return answered


def _interrupt(number: int, frame: object) -> None:  # noqa: ARG001 - the signature of a signal handler
    raise KeyboardInterrupt
