"""Runs of the real definitions, and what they left in the event log."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg

from photoz_assets.definitions import build_definitions
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource, ButlerResource, SelectionResource


@dataclass(frozen=True)
class Check:
    """One evaluation of a check."""

    name: str
    passed: bool
    partition: str | None
    severity: dg.AssetCheckSeverity
    metadata: dict[str, Any]
    description: str

    @property
    def offending_rows(self) -> list[dict[str, Any]]:
        """The rows of the table that break the check, as far as it shows them."""
        return self.table("offending_rows")

    def table(self, name: str) -> list[dict[str, Any]]:
        """A table that the check shows."""
        return [dict(record.data) for record in self.metadata[name].records]


@dataclass(frozen=True)
class Run:
    """What came of a run."""

    result: dg.ExecuteInProcessResult

    @property
    def success(self) -> bool:
        return self.result.success

    @property
    def checks(self) -> dict[str, Check]:
        """The evaluations, by check."""
        return {
            found.check_name: Check(
                name=found.check_name,
                passed=found.passed,
                partition=found.partition,
                severity=found.severity,
                metadata={name: value.value for name, value in found.metadata.items()},
                description=found.description or "",
            )
            for found in self.result.get_asset_check_evaluations()
        }

    @property
    def failure(self) -> str:
        """The words of the failure of the first step that failed."""
        [first, *_] = self.result.filter_events(lambda event: event.is_step_failure)
        data = first.step_failure_data
        assert data.user_failure_data is not None, data.error
        return str(data.user_failure_data.description)

    def metadata(self, asset: str) -> dict[str, Any]:
        """The metadata of an asset's materialization."""
        [event] = self.result.asset_materializations_for_node(asset)
        return {name: value.value for name, value in event.metadata.items()}

    @property
    def materialized(self) -> set[tuple[str, str | None]]:
        """The assets that were materialized, with their partitions."""
        return {
            (event.asset_key.to_user_string(), event.partition)
            for event in self.result.get_asset_materialization_events()
            if event.asset_key
        }


@dataclass(frozen=True)
class Published:
    """A lake that was filled once for many tests, and an archive that has what is in it."""

    url: str
    lake: Lake


class Runs:
    """Materializes assets of the real definitions against one archive and lake."""

    def __init__(self, url: str, data_dir: Path, instance: dg.DagsterInstance | None = None) -> None:
        self.url = url
        self.lake = Lake(data_dir)
        self.instance = instance or dg.DagsterInstance.ephemeral()

    def __call__(
        self,
        *assets: str,
        tract: int | None = None,
        profile: str | None = None,
        selection: SelectionResource | None = None,
        butler: ButlerResource | None = None,
        config: dict[str, Any] | None = None,
        resources: dict[str, dict[str, Any]] | None = None,
        tags: dict[str, str] | None = None,
        job: str = "demo",
    ) -> Run:
        """Materialize some assets of a job, or all of it, in one run, failing or not.

        ``tract`` or ``profile`` is the partition. ``config`` and ``resources`` are of the run: of assets and of
        resources, by name.
        """
        definitions = build_definitions(
            resources={
                "archive": ArchiveResource(url=self.url),
                "butler": butler or ButlerResource(),
                "lake": LakeResource(data_dir=str(self.lake.root)),
                "selection": selection or SelectionResource(),
            }
        )
        run_config = {
            kind: {name: {"config": settings} for name, settings in (configured or {}).items()}
            for kind, configured in {"ops": config, "resources": resources}.items()
        }
        return Run(
            definitions.resolve_job_def(job).execute_in_process(
                run_config=run_config,
                instance=self.instance,
                partition_key=str(tract) if tract else profile,
                asset_selection=[dg.AssetKey(asset) for asset in assets] or None,
                raise_on_error=False,
                tags=tags,
            )
        )
