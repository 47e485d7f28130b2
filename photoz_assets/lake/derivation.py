"""The provenance of what a run makes: when, with which versions, and of which tables."""

import platform
from collections.abc import Iterable
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any, Final

from photoz_assets.lake.provenance import Provenance
from photoz_assets.survey.contracts import Contract

_VERSIONED: Final = ("photoz_assets", "dagster", "duckdb", "pyarrow", "pyvo")


def derived_provenance(
    contract: Contract,
    *,
    code_version: str,
    run_id: str,
    of: Provenance,
    tract: int | None = None,
    region: str | None = None,
    inputs: Iterable[Provenance] = (),
) -> Provenance:
    """Give the provenance of a table that is computed from stored ones: archive and selection are those of one."""
    return Provenance(
        table=contract.table,
        code_version=code_version,
        archive=of.archive,
        selection=of.selection,
        tract=tract,
        region=region,
        run_id=run_id,
        inputs=tuple(each.identity for each in inputs),
        **run_versions(),
    )


def repository_provenance(
    contract: Contract, *, code_version: str, run_id: str, repository: str, tract: int | None = None
) -> Provenance:
    """Give the provenance of a table that was read of a Butler repository.

    It names no archive identity: a repository declares nothing that could be compared with TAP's declaration.
    """
    return Provenance(
        table=contract.table,
        code_version=code_version,
        repository=repository,
        tract=tract,
        run_id=run_id,
        **run_versions(),
    )


def run_versions() -> dict[str, Any]:
    """Say when and with what a table is made."""
    versions = {name: version(name) for name in _VERSIONED} | {"python": platform.python_version()}
    return {"created": datetime.now(UTC).isoformat(timespec="milliseconds"), "versions": versions}
