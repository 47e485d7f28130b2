"""The embedded archive in a process of its own, and what that process takes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class RunningArchive:
    """The address of an archive, and its process.

    Attributes
    ----------
    url
        Of its TAP service.
    process
        The number of its process.
    """

    url: str
    process: int

    def processor_seconds(self) -> float:
        """Add up the processor's seconds that it has taken so far."""
        # The name of the program, in parentheses, may have spaces.
        fields = Path(f"/proc/{self.process}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")

    def take_peak_mib(self) -> float:
        """Return the largest memory since the last call, and begin anew."""
        status = Path(f"/proc/{self.process}/status").read_text()
        Path(f"/proc/{self.process}/clear_refs").write_text("5")
        return int(status.partition("VmHWM:")[2].split()[0]) / 1024


@contextmanager
def running_archive(folder: Path, density: float) -> Iterator[RunningArchive]:
    """Run the embedded archive, with its rows below a folder, until the block ends."""
    command = [str(Path(sys.executable).with_name("photoz-archive")), "--host", "127.0.0.1", "--port", "0"]
    command += ["--density", str(density), "--data-dir", str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = next(line for line in process.stdout or () if "http://" in line)
            url = next(word for word in line.split() if word.startswith("http://"))
            yield RunningArchive(url=url, process=process.pid)
        finally:
            process.terminate()
