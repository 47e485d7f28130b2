"""Commands and pieces of code in processes of their own that have the libraries already: start-up is paid once."""

import multiprocessing
import os
import runpy
import sys
import tempfile
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Final

_LOADED: Final = ["photoz_assets.definitions", "photoz_assets.commands.cli", "dagster._cli"]
_LONGEST_SECONDS: Final = 240
# As the command `timeout` has it.
_TOOK_TOO_LONG: Final = 124


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process ended, and what it printed."""

    returncode: int
    stdout: str
    stderr: str


@dataclass(frozen=True, kw_only=True)
class _Task:
    """What a process is to do: a command by its name and arguments, or a file of code, and where."""

    command: Sequence[str] | Path
    folder: Path
    environment: Mapping[str, str]
    printed: Path

    def run(self) -> Ended:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(_LOADED)
        process = context.Process(target=self._do)
        process.start()
        process.join(_LONGEST_SECONDS)
        if process.exitcode is None:
            process.kill()
            process.join()
            return self._ended(_TOOK_TOO_LONG)
        return self._ended(process.exitcode)

    def _ended(self, code: int) -> Ended:
        stdout, stderr = ((self.printed / name).read_text() for name in ("1", "2"))
        return Ended(returncode=code, stdout=stdout, stderr=stderr)

    def _do(self) -> None:
        for number in (1, 2):
            os.dup2(os.open(self.printed / str(number), os.O_WRONLY | os.O_CREAT), number)
        os.chdir(self.folder)
        os.environ.clear()
        os.environ.update(self.environment)
        if isinstance(self.command, Path):
            warnings.simplefilter("error", SyntaxWarning)
            runpy.run_path(str(self.command), run_name="__main__")
        else:
            sys.argv = [*self.command]
            [script] = entry_points(group="console_scripts", name=self.command[0])
            script.load()()


def run_command(command: Sequence[str], folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run a command of this environment, by its name, in a folder and with these variables alone."""
    with tempfile.TemporaryDirectory() as printed:
        return _Task(command=command, folder=folder, environment=environment, printed=Path(printed)).run()


def run_code(text: str, folder: Path, environment: Mapping[str, str]) -> Ended:
    """Run Python code in the same way; a warning of its syntax is an error."""
    with tempfile.TemporaryDirectory() as printed:
        code = Path(printed, "code.py")
        code.write_text(text)
        return _Task(command=code, folder=folder, environment=environment, printed=Path(printed)).run()
