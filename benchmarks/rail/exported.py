"""The files that are estimated: exports of simulated tracts, made as a user makes them, and DC2's real sample."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import dagster as dg

from photoz_archive.service.server import ArchiveServer
from photoz_assets.definitions import build_definitions
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.io_manager import LakeResource
from photoz_assets.orchestration.resources import ArchiveResource, SamplingResource

# The field of the notebook, at as much of the real density as fills the sizes.
TRACTS: Final = (3637, 3638, 3831)
DENSITY: Final = 0.15
SIZES: Final = (20_000, 5_000, 20_000)
PROFILES: Final = ("rail", "pz_challenge")
_QUIET: Final = {"loggers": {"console": {"config": {"log_level": "ERROR"}}}}


@dataclass(frozen=True)
class Files:
    """A training and a test set in the form that RAIL takes, and the words for them."""

    title: str
    training: Path
    test: Path


def export(folder: Path) -> Lake:
    """Fill a lake below a folder with tracts of the embedded archive, a sample of them and its exports."""
    lake = Lake(folder / "data")
    with ArchiveServer(folder / "archive", density=DENSITY) as server, dg.DagsterInstance.ephemeral() as instance:
        definitions = build_definitions(
            resources={
                "archive": ArchiveResource(url=server.url),
                "lake": LakeResource(data_dir=str(lake.root)),
                "sampling": SamplingResource(sizes=list(SIZES)),
            }
        )

        def materialize(job: str, partition: str | None, *assets: str) -> None:
            definitions.resolve_job_def(job).execute_in_process(
                instance=instance,
                partition_key=partition,
                asset_selection=[dg.AssetKey(asset) for asset in assets],
                run_config=_QUIET,
            )

        for tract in TRACTS:
            materialize("demo", str(tract), "matched_galaxies", "photoz_galaxies")
        materialize("demo", None, "photoz_sample")
        for profile in PROFILES:
            materialize("export_photoz", profile, "photoz_exports")
    return lake


def simulated(lake: Lake) -> Files:
    """Give the exports for RAIL."""
    return Files(
        "Simulated galaxies",
        *(lake.export("rail", f"{split}.hdf5") for split in ("training", "test")),
    )


def real(environment: Path) -> Files:
    """Give DC2's sample, which the package pz-rail-base brings."""
    [training], [test] = (
        list(environment.rglob(f"test_dc2_{split}_9816.hdf5")) for split in ("training", "validation")
    )
    return Files("Galaxies of DC2", training, test)
