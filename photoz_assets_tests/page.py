"""The Dagster page of a folder of its own, and a browser that looks at it: for tests and for ``make pictures``."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pyarrow as pa
from playwright.sync_api import Browser, ConsoleMessage, Page, expect, sync_playwright

ROOT: Final = Path(__file__).parents[1]
CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")

_QUIET: Final = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update"]
_LOADING_MS: Final = 60_000
_START_SECONDS: Final = 120


def command(name: str) -> str:
    """Return the path of a command of this environment."""
    return str(Path(sys.executable).with_name(name))


def settings(folder: Path, **variables: str) -> dict[str, str]:
    """Return the environment of an instance, lake and archive below a folder, and lay the instance out."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    shutil.copy(ROOT / "deploy" / "dagster.yaml", home)
    return {
        "PATH": os.environ["PATH"],
        "HOME": str(folder),
        "DAGSTER_HOME": str(home),
        "PHOTOZ_DATA_DIR": str(folder / "lake"),
        "PHOTOZ_ARCHIVE_DIR": str(folder / "archive"),
    } | variables


@contextmanager
def serving(environment: dict[str, str]) -> Iterator[str]:
    """Run ``photoz ui`` and give the address of its page."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = int(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}"
    with subprocess.Popen(
        [command("photoz"), "ui", "--port", str(port)],
        cwd=ROOT,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.extend(process.stdout or []))
        reader.start()
        try:
            deadline = time.monotonic() + _START_SECONDS
            while not any(f"The Dagster UI is at {address}" in line for line in said):
                assert process.poll() is None, "".join(said)
                assert time.monotonic() < deadline, "".join(said)
                time.sleep(0.2)
            yield address
        finally:
            process.send_signal(signal.SIGTERM)
            reader.join(60)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Start a headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=_QUIET)
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, *, width: int = 1600, height: int = 1000, scale: float = 1) -> Iterator[Page]:
    """Open a page of the browser; at its end, none that was walked may have complained in the console."""
    page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
    page.set_default_timeout(_LOADING_MS)
    expect.set_options(timeout=_LOADING_MS)
    complaints: list[str] = []

    def listen(said: ConsoleMessage) -> None:
        if said.type == "error":
            complaints.append(f"{page.url}: {said.text}")

    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    yield page
    page.close()
    assert not complaints, "\n".join(complaints)


def too_bright(batch: pa.RecordBatch) -> pa.RecordBatch:
    """Answer the first three galaxies ten magnitudes too bright in r: a fault that the audit has to find."""
    column = "obj_r_cModelFlux"
    if column not in batch.schema.names:
        return batch
    fluxes = batch.column(column).to_numpy(zero_copy_only=False).copy()
    fluxes[:3] *= 1e4
    return batch.set_column(batch.schema.get_field_index(column), column, pa.array(fluxes, from_pandas=True))
