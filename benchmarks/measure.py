"""One measurement in a process of its own: ``python -m benchmarks.measure NAME ARGUMENTS`` prints it as JSON.

A measurement is a function that takes its arguments, imports and prepares what must not count, and gives the
function that does. Seconds, seconds of processor (of processes that it starts, too) and peak memory are those of
the latter; what it returns is added.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Measured = Callable[[], dict[str, Any]]


def status_bytes(name: str) -> int:
    """Read a figure of the process's memory; getrusage's peak may be that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def _processor() -> float:
    """Add up the processor's seconds of this process and of those that it started and awaited."""
    return sum(os.times()[:4])


def main() -> None:
    from benchmarks.results import RESULTS
    from benchmarks.runs import RUNS
    from benchmarks.tables import TABLES

    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    run = {**RESULTS, **TABLES, **RUNS}[name](**arguments)
    # Since Linux 4.0: the peak begins anew, so that what was prepared does not hide what is measured.
    Path("/proc/self/clear_refs").write_text("5")
    before = status_bytes("VmRSS")
    started, processor = time.perf_counter(), _processor()
    found = run()
    seconds, processor = time.perf_counter() - started, _processor() - processor
    peak = (status_bytes("VmHWM") - before) / 2**20
    print(json.dumps({"seconds": seconds, "processor": processor, "peak_mib": peak} | found))


if __name__ == "__main__":
    main()
