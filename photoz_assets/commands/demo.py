"""The demo: the main job from the archive to the figures, with progress, and a table of what lies where.

It runs the job ``demo`` in steps in this process, on the instance and lake that the UI shows, and judges the
end by what is in the lake.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import dagster as dg
import pyarrow.parquet as pq

from photoz_assets import environment
from photoz_assets.definitions import build_definitions, tables_of
from photoz_assets.environment import settings
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.opening import open_lake
from photoz_assets.lake.provenance import InvalidTableFileError, damage_errors, read_provenance
from photoz_assets.lake.tract_list import with_kept_tracts
from photoz_assets.orchestration.asset_keys import asset_key
from photoz_assets.orchestration.assets.support import CONTACT_SHEET
from photoz_assets.photoz.profiles import PROFILES
from photoz_assets.survey.releases.release import Release

Log = Callable[[str], None]

_ARCHIVE: Final = ("tap_tables", "tap_columns", "skyinfo", "tracts", "patches", "sky_map")
_SPECZ: Final = ("specz",)
_GALAXIES: Final = ("objects", "matched_galaxies")
_OF_GALAXIES: Final = ("diagnostics", "photoz_galaxies")
_FIELD: Final = ("field_galaxies", "field_diagnostics", "survey_diagnostics")
_REDSHIFTS: Final = ("photoz_sample", "photoz_model", "photoz_estimates", "photoz_quality")
_CATALOG: Final = ("photoz_catalog",)
_PROFILE: Final = ("photoz_exports",)
_ATLAS: Final = ("atlas",)


@dataclass(frozen=True, kw_only=True)
class DemoStep:
    """Some assets to materialize in one run, for one tract, for one profile of exports or for neither."""

    title: str
    assets: tuple[str, ...]
    tract: int | None = None
    profile: str | None = None

    @property
    def partition(self) -> str | None:
        """The partition of its assets, as Dagster calls it."""
        return str(self.tract) if self.tract is not None else self.profile

    @property
    def job(self) -> str:
        """The job that has its assets: one job has one kind of partitions."""
        return "demo" if self.profile is None else "export_photoz"


@dataclass(frozen=True, kw_only=True)
class Row:
    """A line of the closing table; ``rows`` is None where the asset has no table.

    A contact sheet is no figure of its own.
    """

    asset: str
    partition: str | None
    rows: int | None
    figures: int
    path: Path


def steps(release: Release) -> list[DemoStep]:
    """List what the demo runs: the archive, the field's tracts, the field and the survey, redshifts, exports."""
    needed = release.field.tracts(release.skymap, release.tracts)
    of_tract = (*(name for name in _GALAXIES if name in tables_of(release)), *_OF_GALAXIES)
    return [
        DemoStep(title="the archive's listing and the sky", assets=_ARCHIVE),
        *([DemoStep(title="redshifts of other surveys", assets=_SPECZ)] if release.spectroscopic else []),
        *(DemoStep(title=f"tract {tract}", assets=of_tract, tract=tract) for tract in needed),
        DemoStep(title=f"{release.field}, and the survey so far", assets=_FIELD),
        DemoStep(title="redshifts, and how good they are", assets=_REDSHIFTS),
        *(DemoStep(title=f"redshifts of tract {tract}", assets=_CATALOG, tract=tract) for tract in needed),
        *(DemoStep(title=f"training sets for {name}", assets=_PROFILE, profile=name) for name in PROFILES),
        DemoStep(title="all of it as pages for a browser", assets=_ATLAS),
    ]


def run_demo(instance: dg.DagsterInstance, log: Log) -> list[str]:
    """Materialize every asset, of tracts those that the field touches, and say how it goes.

    Returns
    -------
    list[str]
        What did not hold, a line each: failed steps, failed checks, tables that nobody made since the demo began.
    """
    lake, release = _lake_and_release()
    definitions = build_definitions(release=release)
    listed = steps(release)
    problems: list[str] = []
    former = _runs(lake, release, listed)
    for number, step in enumerate(listed, start=1):
        log(f"[{number}/{len(listed)}] {step.title}: {', '.join(step.assets)}")
        result = definitions.resolve_job_def(step.job).execute_in_process(
            run_config=_run_config(release, step),
            instance=instance,
            partition_key=step.partition,
            asset_selection=[asset_key(release, asset) for asset in step.assets],
            raise_on_error=False,
            tags={"photoz/demo": step.title},
        )
        problems += _problems(result, step, log)
        if not result.success:
            # What follows is made of this.
            return problems
    return problems + [
        f"{path} was not made" for path, run in _runs(lake, release, listed).items() if run in {None, former[path]}
    ]


def table(lake: Lake, release: Release) -> Iterator[Row]:
    """List what the lake holds of the demo's assets."""
    for step in steps(release):
        for asset in step.assets:
            if step.profile is not None:
                folder = lake.export(step.profile, "any").parent
                yield Row(asset=asset, partition=step.partition, rows=None, figures=0, path=folder)
                continue
            if step.assets == _ATLAS:
                yield Row(asset=asset, partition=None, rows=None, figures=0, path=lake.atlas)
                continue
            path = lake.table(asset, step.tract)
            rows = _rows(path) if path.exists() else None
            folder = lake.figure(asset, "any", step.tract).parent
            figures = sum(path.stem != CONTACT_SHEET for path in folder.glob("*.png"))
            yield Row(
                asset=asset,
                partition=step.partition,
                rows=rows,
                figures=figures,
                path=folder if rows is None else path,
            )


def _rows(path: Path) -> int:
    """Return the number of a table's rows; raises as ``damage_errors``."""
    with damage_errors(path):
        return int(pq.read_metadata(path).num_rows)


def _run_config(release: Release, step: DemoStep) -> dict[str, Any]:
    config: dict[str, Any] = {"loggers": {"progress": {"config": {}}}}
    if "field_galaxies" in step.assets:
        op = asset_key(release, "field_galaxies").to_python_identifier()
        config["ops"] = {op: {"config": {"allow_missing": False}}}
    return config


def _problems(result: dg.ExecuteInProcessResult, step: DemoStep, log: Log) -> list[str]:
    """Say what a run's checks found, and list what failed."""
    found = []
    for evaluation in result.get_asset_check_evaluations():
        mark = "ok  " if evaluation.passed else "FAIL"
        log(f"    {mark} {evaluation.check_name}: {evaluation.description}")
        if not evaluation.passed:
            found.append(f"{step.title}: check {evaluation.check_name}: {evaluation.description}")
    for event in result.filter_events(lambda event: event.is_step_failure):
        failure = event.step_failure_data
        reported = failure.user_failure_data.description if failure.user_failure_data else None
        # Dagster's own error only says that there was one.
        error = failure.error and (failure.error.cause or failure.error)
        reason = reported or (error.message.strip() if error else "unknown")
        found.append(f"{step.title}: {event.step_key} failed: {reason}")
    if not result.success and not found:
        found.append(f"{step.title}: run {result.run_id} failed")
    return found


def _runs(lake: Lake, release: Release, listed: Sequence[DemoStep]) -> dict[Path, str | None]:
    """Return the run that made each table of the demo; None where there is no table, or a damaged one."""
    runs: dict[Path, str | None] = {}
    tables = tables_of(release)
    for step in listed:
        for asset in filter(tables.__contains__, step.assets):
            path = lake.table(asset, step.tract)
            runs[path] = None
            with suppress(FileNotFoundError, InvalidTableFileError):
                runs[path] = read_provenance(path).run_id
    return runs


def _lake_and_release() -> tuple[Lake, Release]:
    lake = open_lake(settings().data_dir)
    return lake, with_kept_tracts(environment.release(), lake)


def closing_table() -> str:
    """Return what the lake holds of the demo's assets, a line each, as text for the terminal."""
    lines = [("asset", "partition", "rows", "figures", "where")]
    lake, release = _lake_and_release()
    for row in table(lake, release):
        rows = "" if row.rows is None else f"{row.rows:,}"
        lines.append((row.asset, row.partition or "", rows, str(row.figures or ""), _short(lake, row.path)))
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    formatted = [
        f"{asset:<{widths[0]}}  {partition:<{widths[1]}}  {rows:>{widths[2]}}  {figures:>{widths[3]}}  {where}"
        for asset, partition, rows, figures, where in lines
    ]
    label = lake.provenance("skyinfo").archive if lake.table("skyinfo").exists() else None
    return "\n".join(
        [
            "",
            *formatted,
            f"{label.label if label else 'no archive'}; figures lie in {_short(lake, lake.root / 'figures')}",
        ]
    )


def last_line() -> str:
    """Return what the demo says at its end, if everything held."""
    return f"Everything holds. `{environment.photoz_command()} ui` shows it on http://127.0.0.1:3000."


def _short(lake: Lake, path: Path) -> str:
    """Return what all call a place in a lake; a path as seen from the current folder, if it lies below it."""
    address = lake.publisher.address(path)
    return (
        str(path.relative_to(Path.cwd())) if address == str(path) and path.is_relative_to(Path.cwd()) else address
    )
