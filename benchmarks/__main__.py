"""Run every way over the same tract of the embedded archive, interleaved and repeated; print a table of ratios."""

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.ways import WAYS
from photoz_assets.embedded_archive.service.server import ArchiveServer

TRACT = 3638


def measure(way: str, url: str, folder: Path) -> dict[str, float]:
    """Run one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ways", way, url, str(TRACT), str(folder)]
    answer = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {name: float(value) for name, value in json.loads(answer).items()}


@click.command()
@click.option("--density", default=0.1, show_default=True, help="Share of the real source density.")
@click.option("--repeats", default=3, show_default=True, help="Interleaved repeats of each way.")
def main(density: float, repeats: int) -> None:
    """Compare the ways from a TAP result to a table on disk."""
    with (
        tempfile.TemporaryDirectory(prefix="photoz-bench-") as work,
        ArchiveServer(Path(work) / "archive", density=density, tracts=(TRACT,)) as server,
    ):
        # The first run of a way makes the tract and warms the disk's cache for all.
        measure("ours", server.url, Path(work))
        found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for repeat in range(repeats):
            for way, runs in found.items():
                runs.append(measure(way, server.url, Path(work)))
                click.echo(f"repeat {repeat + 1}: {way}: {runs[-1]['seconds']:.2f} s", err=True)
    click.echo(report(found))


def report(found: dict[str, list[dict[str, float]]]) -> str:
    """Write the medians and their spread as a Markdown table."""
    floor = statistics.median(run["seconds"] for run in found["floor"])
    rows = int(found["ours"][0]["rows"])
    lines = [
        f"{rows:,} rows, {os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}.",
        "Embedded archive, simulated, on the same machine. The way `floor` asks nothing: its query ran before.",
        "",
        "| way | median s (min - max) | x floor | peak memory above imports, MiB |",
        "|---|---|---|---|",
    ]
    for way, runs in found.items():
        seconds = [run["seconds"] for run in runs]
        memory = statistics.median(run["bytes"] for run in runs) / 2**20
        median = statistics.median(seconds)
        spread = f"{min(seconds):.2f} - {max(seconds):.2f}"
        lines.append(f"| {way} | {median:.2f} ({spread}) | {median / floor:.1f} | {memory:.0f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
