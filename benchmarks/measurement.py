"""What a measurement is, and the memory of the process that makes it."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Takes the measurement and returns what it found besides seconds and memory.
Measured = Callable[[], dict[str, Any]]


def status_bytes(name: str) -> int:
    """Read a figure of the process's memory; getrusage's peak may be that of the process which started it."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{name}:")[2].split()[0]) * 1024


def whole_process() -> dict[str, float]:
    """Say what the process has taken since it began: the processor's seconds, and its largest memory in MiB."""
    return {"whole_processor": sum(os.times()[:4]), "whole_mib": status_bytes("VmHWM") / 2**20}
