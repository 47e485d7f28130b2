"""One measurement in a process of its own: ``python -m benchmarks.measure NAME ARGUMENTS`` prints it as JSON.

A measurement is a function that takes its arguments, imports and prepares what must not count, and gives the
function that does. Seconds, seconds of processor (of processes that it starts, too) and peak memory are those of
the latter; what it returns is added.
"""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.matching import MATCHING
from benchmarks.measurement import status_bytes
from benchmarks.photoz import PHOTOZ
from benchmarks.results import RESULTS
from benchmarks.runs import RUNS
from benchmarks.survey import SURVEY
from benchmarks.tables import TABLES
from benchmarks.whole_survey import WHOLE_SURVEY


def _processor() -> float:
    """Add up the processor's seconds of this process and of those that it started and awaited."""
    return sum(os.times()[:4])


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    run = {**RESULTS, **TABLES, **PHOTOZ, **MATCHING, **RUNS, **SURVEY, **WHOLE_SURVEY}[name](**arguments)
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
