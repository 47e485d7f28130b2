"""What was measured, as JSON, as a table beside the targets and as a figure, in ``docs/performance.md``."""

import json
import os
import platform
import statistics
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Found = dict[str, list[dict[str, Any]]]

_BEGIN, _END = "<!-- measured: begin -->", "<!-- measured: end -->"
_PACKAGES = ("numpy", "pyarrow", "duckdb", "astropy", "pyvo", "pandas", "matplotlib", "dagster")
_OURS, _OTHERS = "#0072b2", "#9aa0a6"
_NUMBERS_OF_TRACTS = (10, 40)
# What a reader wants first, by how it is called.
_FIRST = (
    "result to published tract",
    "notebook over ours",
    "peak memory of the ingest",
    "peak memory of the notebook",
    "six figures",
    "cut of a cone (field)",
    "a tract's whole chain",
    "Dagster's share a tract, a process a run, 4 at once",
)
_WAYS = ("download", "write", "ours", "ours, Parquet", "STILTS", "notebook")


class Numbers:
    """Medians of what was found."""

    def __init__(self, found: Found) -> None:
        self._found = found

    def __contains__(self, label: str) -> bool:
        return label in self._found

    def of(self, label: str, name: str = "seconds") -> float:
        """Give a measurement's median of one number."""
        return float(statistics.median(run[name] for run in self._found[label]))

    def seconds(self, label: str) -> str:
        """Write the median seconds with their spread."""
        runs = [run["seconds"] for run in self._found[label]]
        return f"{statistics.median(runs):.2f} s ({min(runs):.2f}-{max(runs):.2f})"

    def ratio(self, label: str, *floors: str) -> str:
        """Write a ratio of seconds and that of the processor's seconds."""
        wall, processor = (
            self.of(label, name) / sum(self.of(floor, name) for floor in floors)
            for name in ("seconds", "processor")
        )
        return f"{wall:.1f}x (processor {processor:.1f}x)"


def write_numbers(found: Found, settings: dict[str, Any], into: Path) -> None:
    """Write everything that was measured as JSON."""
    into.mkdir(parents=True, exist_ok=True)
    content = {"machine": machine(), "settings": settings, "found": found}
    (into / "performance.json").write_text(json.dumps(content, indent=1) + "\n")


def write_report(found: Found, settings: dict[str, Any], into: Path) -> None:
    """Write figure and table."""
    (into / "images").mkdir(parents=True, exist_ok=True)
    numbers = Numbers(found)
    _draw(numbers, found, into / "images" / "performance.png")
    rows = list(_rows(numbers, found))
    lines = [
        "",
        *_table([row for row in rows if row[0].startswith(_FIRST)]),
        "",
        "<details>",
        "<summary>All that was measured, and on what</summary>",
        "",
        (
            f"{machine()} Density {settings['density']:g}, {settings['repeats']} interleaved repeats of what is "
            f"quick. Load of the machine in the last quarter of an hour: {settings['load']:.1f}. The archive is "
            "the embedded one, simulated, on the same cores."
        ),
        "",
        "![Seconds and memory of the ways from a result to a table](images/performance.png)",
        "",
        *_table(rows),
        "",
        "</details>",
        "",
    ]
    write_between(into / "performance.md", _BEGIN, _END, lines)


def write_between(page: Path, begin: str, end: str, lines: Sequence[str]) -> None:
    """Write lines between two marks of a page, in the place of what stood there; a missing page is begun."""
    text = page.read_text() if page.exists() else f"# Performance\n\n{begin}\n{end}\n"
    before, _, rest = text.partition(begin)
    page.write_text("\n".join([before + begin, *lines, end + rest.partition(end)[2]]))


def machine() -> str:
    """Name the machine and the packages that count, as a sentence."""
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if "model name" in line
        ),
        platform.machine(),
    )
    packages = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    return f"{os.cpu_count()} cores ({model}), Python {platform.python_version()}, {packages}."


def _table(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    return ["| what | target | measured |", "|---|---|---|", *(f"| {' | '.join(row)} |" for row in rows)]


def _rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    yield (
        "yardstick: ten million additions in Python, from the first to the last measurement",
        "-",
        of.seconds("yardstick"),
    )
    yield from _tract_rows(of, found)
    yield from _table_rows(of, found)
    yield from _photoz_rows(of, found)
    yield from _match_rows(of, found)
    yield from _training_set_rows(of, found)
    yield from _density_rows(found)
    yield from _archive_rows(of)
    yield from _run_rows(of, found)
    yield from _survey_rows(of, found)


def _tract_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    rows = found["ours"][0]["rows"]
    yield f"floor: download, {found['download'][0]['bytes'] / 1e6:.0f} MB", "-", of.seconds("download")
    yield f"floor: Parquet write of {rows:,} rows", "-", of.seconds("write")
    yield "result to published tract", "-", of.seconds("ours")
    yield "the same over the floor", "2x", of.ratio("ours", "download", "write")
    yield "the same as Parquet", "-", of.seconds("ours, Parquet")
    yield "notebook: pyvo, Table, pandas, pickle", "-", of.seconds("notebook")
    yield "notebook over ours", "12x, aim 20x", of.ratio("notebook", "ours")
    if "STILTS" in of:
        yield "STILTS, local file to FITS", "-", of.seconds("STILTS")
    yield "peak memory of the ingest", "70 MiB", f"{of.of('ours', 'ingest_mib'):.0f} MiB"
    yield "the same with its audit", "-", f"{of.of('ours', 'peak_mib'):.0f} MiB"
    yield "peak memory of the ingest, Parquet", "160 MiB", f"{of.of('ours, Parquet', 'ingest_mib'):.0f} MiB"
    yield "peak memory of the notebook", "-", f"{of.of('notebook', 'peak_mib'):.0f} MiB"
    for label in (label for label in found if label.startswith("stage ")):
        parquet = "Parquet" in label
        yield (
            f"staging {found[label][0]['rows']:,} rows{' of Parquet' if parquet else ''}",
            f"within {50 if parquet else 15} MiB of each other",
            f"{of.seconds(label)}, {of.of(label, 'peak_mib'):.0f} MiB",
        )


def _table_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    stored, pandas = (found[label][0]["bytes"] / 1e6 for label in ("scan", "scan pandas"))
    yield (
        "file size: ours, pandas' default, pickle",
        "-",
        (f"{stored:.1f} MB, {pandas:.1f} MB, {found['notebook'][0]['bytes'] / 1e6:.1f} MB"),
    )
    yield "reading all columns: ours, pandas' default", "-", f"{of.seconds('scan')}, {of.seconds('scan pandas')}"
    yield "audit, warm: the blocking checks", "-", of.seconds("audit, blocking")
    yield "the same over reading all columns", "2x", of.ratio("audit, blocking", "scan")
    yield "audit, warm: with the checks that warn", "-", of.seconds("audit")
    yield "the same over reading all columns", "-", of.ratio("audit", "scan")
    yield f"audit of {found['audit copies'][0]['rows']:,} rows", "128 MB", of.seconds("audit copies")
    yield "six figures", "160 MiB", f"{of.seconds('figures')}, {of.of('figures', 'peak_mib'):.0f} MiB"
    yield "notebook's scatter plots over them", "3x", of.ratio("scatter", "figures")
    yield (
        "six figures, ten times the rows",
        "160 MiB",
        (f"{of.seconds('figures copies')}, {of.of('figures copies', 'peak_mib'):.0f} MiB"),
    )
    yield "scatter plots over them, ten times the rows", "15x", of.ratio("scatter copies", "figures copies")
    thumbnail_kb = max(run["bytes"] for run in found["sheet"]) / 1000
    yield "contact sheet of the six, and its thumbnail", "60 kB", f"{of.seconds('sheet')}, {thumbnail_kb:.0f} kB"
    for name in ("field", "arcmin"):
        label = f"cone {name}"
        yield f"cut of a cone ({name}): {found[label][0]['rows']:,} rows", "-", of.seconds(label)
        yield (
            "the same over reading just its row groups",
            "3x",
            (
                f"{of.ratio(label, f'cone floor {name}')}; {of.of(label, 'bytes') / 1e6:.1f} MB read, the "
                f"{found[f'cone floor {name}'][0]['row_groups']} row groups have "
                f"{of.of(f'cone floor {name}', 'bytes') / 1e6:.1f} MB"
            ),
        )


def _photoz_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    memory = f"{of.seconds('forest')}, {of.of('forest', 'peak_mib'):.0f} MiB"
    yield f"photo-z: forest with p(z) learnt from {found['forest'][0]['rows']:,} galaxies", "-", memory
    yield (
        "the same over the forest of the notebook's author, magnitudes only",
        "1x",
        of.ratio("forest", "author's forest"),
    )
    for label in ("estimates", "estimates twice"):
        rows = found[label][0]["rows"]
        yield (
            f"photo-z: {rows:,} galaxies estimated, with p(z)",
            "20,000 galaxies per second of processor",
            f"{rows / of.of(label, 'processor'):,.0f}, {of.of(label, 'peak_mib'):.0f} MiB",
        )


def _match_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    pairs, theirs = found["match"][0]["pairs"], found["match by astropy"][0]["pairs"]
    if pairs != theirs:
        raise ValueError(f"the match finds {pairs} pairs, astropy {theirs}")
    yield (
        f"match of 5,000 redshifts with 80,000 objects, {pairs:,} pairs",
        "1 s of processor",
        f"{of.of('match', 'processor'):.2f} s",
    )
    yield (
        "the same by astropy, whose match both ways finds the same pairs",
        "slower",
        f"{of.of('match by astropy', 'processor'):.2f} s",
    )


def _training_set_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    yield (
        f"photo-z: {found['features'][0]['rows']:,} galaxies with features, split and draw, audited",
        "300 MiB",
        f"{of.seconds('features')}, {of.of('features', 'peak_mib'):.0f} MiB",
    )
    yield (
        f"photo-z: a sample of {found['sample'][0]['rows']:,} out of two tracts, as HDF5, read back",
        "-",
        f"{of.seconds('sample')}, {of.of('sample', 'peak_mib'):.0f} MiB",
    )
    memory = of.of("sample", "peak_mib") / of.of("sample pandas", "peak_mib")
    yield (
        "the same over pandas with train_test_split",
        "1x, memory 0.33x",
        f"{of.ratio('sample', 'sample pandas')}, memory {memory:.2f}x",
    )
    if "exports, RAIL" in of:
        slower, larger = (
            of.of("exports, RAIL", name) / of.of("exports, ours", name) for name in ("processor", "peak_mib")
        )
        yield (
            "photo-z: RAIL's nearest neighbours over our forest, learning from these files",
            "10x, memory 5x",
            f"processor {slower:.1f}x, memory {larger:.1f}x",
        )


def _chains(found: Found) -> tuple[list[int], list[float]]:
    """Give the rows of one tract at several densities, and the seconds of its whole chain."""
    labels = [label for label in found if label.startswith("tract ")]
    seconds = [statistics.median(run["seconds"] for run in found[label]) for label in labels]
    return [found[label][0]["rows"] for label in labels], seconds


def _totals(found: Found, name: str) -> list[float]:
    """Give the seconds after each tract of the refresh, of its ``work`` alone or of its ``runs``."""
    return list(accumulate(found["shares"][0][name]))


def _density_rows(found: Found) -> Iterator[tuple[str, str, str]]:
    rows, seconds = _chains(found)
    for number, median in zip(rows, seconds, strict=True):
        yield f"a tract's whole chain, {number:,} rows, with the query", "-", f"{median:.2f} s"
    yield "the same, a line fitted", "linear", _fitted(rows, seconds, "rows")


def _archive_rows(of: Numbers) -> Iterator[tuple[str, str, str]]:
    rate = of.of("download", "bytes") * 0.74 / of.of("download") / 1e6
    yield "embedded archive: BINARY2 sent, before base64", "150 MB/s", f"{rate:.0f} MB/s"
    yield "embedded archive: triple join of the tract", "2 s", f"{of.of('query', 'query_seconds'):.2f} s"


def _run_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    yield (
        "definitions load, warm, with Python's start",
        "2 s",
        (f"{of.seconds('definitions')}, processor {of.of('definitions', 'processor'):.2f} s"),
    )
    work, runs = (_totals(found, name) for name in ("work", "runs"))
    numbers = sorted({min(number, len(work)) for number in (*_NUMBERS_OF_TRACTS, len(work))})
    for number in numbers:
        share = (runs[number - 1] - work[number - 1]) / number
        yield (
            f"Dagster's share a tract, {number} runs in one process",
            "1.5 s",
            f"{share:.2f} s (work alone {work[number - 1] / number:.2f})",
        )
    if len(numbers) > 1:
        listed, seconds = ", ".join(map(str, numbers)), [runs[number - 1] for number in numbers]
        yield f"{listed} runs in one process, a line fitted", "linear", _fitted(numbers, seconds, "tracts")
        pairs = zip(found["shares"][0]["runs"], found["shares"][0]["work"], strict=True)
        slope, start = statistics.linear_regression(range(len(runs)), [run - alone for run, alone in pairs])
        yield (
            "Dagster's share of a tract, a line fitted",
            "the same for all",
            f"{start:.2f} s + {1000 * slope:.2g} ms x tracts stored before",
        )
    for at_once in (1, 4):
        tracts = min(3 * at_once, len(work))
        wall, processor = (
            (of.of(f"each {at_once}", name) - of.of(f"work {at_once}", name)) / tracts
            for name in ("seconds", "processor")
        )
        yield (
            f"Dagster's share a tract, a process a run, {at_once} at once",
            "2.5 s",
            f"{wall:.2f} s (processor {processor:.2f})",
        )


def _survey_rows(of: Numbers, found: Found) -> Iterator[tuple[str, str, str]]:
    numbers = sorted(int(label.split()[-1]) for label in found if label.startswith("survey state "))
    few, many = numbers[0], numbers[-1]
    for number in numbers:
        survey = f"survey of {number:,} tracts"
        yield f"{survey}: its state", "2 s", of.seconds(f"survey state {number}")
        yield f"{survey}: connect()", "2 s", f"{of.of(f'survey views {number}', 'connect'):.2f} s"
        yield f"{survey}: one tract by its key", "1 s", f"{of.of(f'survey views {number}', 'tract'):.2f} s"
        yield f"{survey}: count of all rows", "-", f"{of.of(f'survey views {number}', 'count'):.2f} s"
        queries = found[f"survey page {number}"][0]["queries"]
        slowest = max(queries, key=queries.__getitem__)
        yield f"{survey}: the page's slowest query, {slowest}", "2 s", f"{queries[slowest]:.2f} s"
        requests, evaluate, create = (
            of.of(f"survey tick {number}", name) for name in ("requests", "evaluate", "create")
        )
        yield (
            f"{survey}: a tick that finds nothing stored",
            "60 s",
            f"{evaluate + create:.1f} s, {evaluate:.2f} to evaluate and {create:.1f} to make {requests:.0f} runs",
        )
    yield (
        f"a tract's run in a survey of {many:,} tracts, over one of {few:,}",
        "1.1x",
        of.ratio(f"survey run {many}", f"survey run {few}"),
    )


def _fitted(amounts: Sequence[float], seconds: Sequence[float], what: str) -> str:
    """Write the straight line through some costs, and how far they lie from it at most."""
    slope, start = statistics.linear_regression(amounts, seconds)
    farthest = max(
        abs(found - start - slope * amount) / found for amount, found in zip(amounts, seconds, strict=True)
    )
    return f"{start:.2f} s + {1000 * slope:.3g} ms x {what}, at most {farthest:.0%} off"


def _draw_line(axes: "Axes", amounts: Sequence[float], seconds: Sequence[float]) -> None:
    """Draw the straight line through some costs, if there are enough of them."""
    if len(amounts) > 1:
        slope, start = statistics.linear_regression(amounts, seconds)
        axes.axline((0, start), slope=slope, color="black", linewidth=0.8)


def _draw(of: Numbers, found: Found, path: Path) -> None:
    """Draw seconds and memory of the ways, on logarithmic axes, and what grows with rows and tracts."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    ways = [way for way in reversed(_WAYS) if way in found]
    figure = Figure(figsize=(9, 7), layout="constrained")
    FigureCanvasAgg(figure)
    (seconds, memory), (chain, refresh) = figure.subplots(2, 2)
    memory.sharey(seconds)
    memory.tick_params(labelleft=False)
    colors = [_OURS if way.startswith("ours") else _OTHERS for way in ways]
    seconds.barh(ways, [of.of(way) for way in ways], color=colors)
    seconds.set(xscale="log", xlabel="seconds")
    # STILTS is a process of its own, whose memory is not measured; no bar says so.
    memory.barh(ways, [0 if way == "STILTS" else of.of(way, "peak_mib") for way in ways], color=colors)
    memory.set(xscale="log", xlabel="peak memory above imports [MiB]")
    rows, chains = _chains(found)
    chain.plot(rows, chains, "o", color=_OURS)
    _draw_line(chain, rows, chains)
    chain.set(xlabel="galaxies of a tract", ylabel="seconds of its whole chain", xlim=(0, None), ylim=(0, None))
    chain.xaxis.set_major_locator(MaxNLocator(4))
    chain.xaxis.set_major_formatter("{x:,g}")
    for name, color, label in (("runs", _OURS, "runs of the job"), ("work", _OTHERS, "the same without Dagster")):
        totals = _totals(found, name)
        numbers = range(1, len(totals) + 1)
        refresh.plot(numbers, totals, ".", markersize=4, color=color, label=label)
        _draw_line(refresh, numbers, totals)
    refresh.set(xlabel="tracts refreshed in one process", ylabel="seconds", xlim=(0, None), ylim=(0, None))
    refresh.legend(frameon=False)
    figure.suptitle(f"From a TAP result of {found['ours'][0]['rows']:,} rows to a table, simulated data")
    figure.savefig(path, dpi=110)
