"""Run RAIL's estimators and ours on the same files, judge all by the same metrics, and write the docs."""

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import click

from benchmarks.rail import exported, ours, theirs
from benchmarks.rail.figure import draw
from benchmarks.rail.judged import judge, unlike_qp
from benchmarks.rail.page import OURS, Compared, Estimated, write_page

ESTIMATORS: Final = ("KNearNeigh", "FlexZBoost", "GPz")
ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "rail.md"
# What the how-to on the page writes.
_SELECTED: Final = "vvds.hdf5"


def run(command: Sequence[str | Path], folder: Path) -> list[str]:
    """Run a command in a folder; return the lines that it prints."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [str(word) for word in command]
    told = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return told.stdout.splitlines()


def estimated(command: Sequence[str | Path], training: Path, test: Path, folder: Path) -> Estimated:
    """Run one estimator on two files, in a process and a folder of its own, and judge what it estimates."""
    folder.mkdir(parents=True)
    took: dict[str, Any] = json.loads(run([*command, training, test], folder)[-1])
    _, redshift, _ = ours.read(test)
    return Estimated(judge(folder / ours.OUTPUT, redshift), **took)


def compared(files: exported.Files, rail: Path, work: Path) -> Compared:
    """Run all estimators on the same files."""
    commands: dict[str, list[str | Path]] = {OURS: [sys.executable, "-m", ours.__name__]}
    commands |= {name: [rail, theirs.__file__, name] for name in ESTIMATORS}
    found = {}
    for name, command in commands.items():
        click.echo(f"{files.title}: {name} ...", err=True)
        found[name] = estimated(command, files.training, files.test, work / files.title / name)
    redshift, num_training = ours.read(files.test)[1], len(ours.read(files.training)[1])
    unlike = unlike_qp(work / files.title / OURS / ours.OUTPUT, redshift)
    return Compared(files.title, num_training, len(redshift), found, unlike)


def howto(rail: Path, folder: Path) -> list[str]:
    """Run the Python on the page in a folder, and return what it prints but for RAIL's log."""
    [code] = re.findall(r"^```py\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    return [line for line in run([rail, "-c", code], folder) if not re.match(r"\d{4}-\d\d-\d\d ", line)]


def submission_flags(rail: Path, checkout: Path, submission: Path, test: Path) -> str:
    """Return what the data challenge's own check says of a submission and of the file that it is for."""
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); from pz_data_challenge import submit_utils; "
        "print(submit_utils.check_pz_submission_file(sys.argv[2], sys.argv[3]))"
    )
    return run([rail, "-c", code, checkout / "src", submission, test], checkout)[-1]


@click.command()
@click.argument("environment", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option(
    "--pz-challenge",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="A checkout of LSSTDESC/pz_data_challenge, which no package index has: its own check of a submission.",
)
def main(environment: Path, pz_challenge: Path | None) -> None:
    """Compare RAIL's estimators, installed in ENVIRONMENT, with ours."""
    rail = environment.absolute() / "bin" / "python"
    with tempfile.TemporaryDirectory(prefix="photoz-rail-") as folder:
        work = Path(folder)
        click.echo("Making the training sets ...", err=True)
        lake = exported.export(work)
        simulated = exported.simulated(lake)
        samples = [compared(files, rail, work) for files in (simulated, exported.real(environment))]
        printed = howto(rail, work)
        command = [sys.executable, "-m", ours.__name__]
        selected = estimated(command, work / _SELECTED, simulated.test, work / "selected")
        if pz_challenge is not None:
            test = lake.export("pz_challenge", "pz_challenge_taskset_1_photoz_assets_test_10yr.hdf5")
            submission = work / simulated.title / OURS / ours.OUTPUT
            click.echo(f"check_pz_submission_file: {submission_flags(rail, pz_challenge, submission, test)}")
    write_page(PAGE, samples, printed, selected)
    draw(
        [(each.title, {name: of.judged for name, of in each.estimated.items()}) for each in samples],
        PAGE.parent / "images" / "rail.png",
    )
    click.echo(f"{PAGE} is written; git diff shows what changed.")


if __name__ == "__main__":
    main()
