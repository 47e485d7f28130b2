"""One decorator makes an asset of a table's spec and of the function that says where its rows come from.

Of the spec it makes the column schema, the check specs with their severity, the code version, the partitions and
the lineage to the archive; at run time, of what the function wrote, the check results and the output, or of the
error that refused it, the check results and one clear failure.
"""

import functools
import inspect
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import dagster as dg

from photoz_assets.lake.writing import TableRefusedError, WrittenTable
from photoz_assets.orchestration.asset_keys import archive_key, asset_key
from photoz_assets.orchestration.check_results import check_result, check_specs, how_to_see
from photoz_assets.orchestration.column_metadata import column_schema
from photoz_assets.orchestration.failures import as_dagster_failure
from photoz_assets.orchestration.io_manager import stored_inputs
from photoz_assets.orchestration.partitions import tract_partitions
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Contract, TableSpec

OWNERS: Final = ["team:photoz"]


@dataclass(frozen=True)
class TableResult:
    """What an asset's function made: the table, and what Dagster is to record besides.

    ``verdicts`` are of checks that were judged beside the audit, ``observations`` of other assets. By the
    ``data_version`` what follows tells whether anything has changed; without one every materialization is new.
    """

    table: WrittenTable
    verdicts: Sequence[Verdict] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    observations: Sequence[dg.AssetObservation] = ()
    data_version: str | None = None


_Events = Iterator[dg.Output[WrittenTable] | dg.AssetCheckResult | dg.AssetObservation]


@dataclass(frozen=True, kw_only=True)
class LakeTable:
    """A table of the lake as an asset of any release.

    ``spec`` returns the release's spec; ``deps``, ``inputs`` and ``is_of`` are as ``lake_table`` has them.
    """

    spec: Callable[[Release], TableSpec]
    function: Callable[..., TableResult]
    deps: tuple[str, ...]
    inputs: Mapping[str, Callable[[Release], TableSpec]]
    is_of: Callable[[Release], bool]
    automation_condition: dg.AutomationCondition[Any] | None
    freshness_policy: dg.FreshnessPolicy | None

    def asset(self, release: Release) -> dg.AssetsDefinition:
        """Return the table as an asset of a release."""
        spec = self.spec(release)
        make = dg.asset(
            key=asset_key(release, spec.table),
            ins={
                name: dg.AssetIn(key=asset_key(release, self._input(release, name)))
                for name in stored_inputs(self.function)
            },
            group_name=spec.group,
            kinds=set(spec.kinds),
            owners=OWNERS,
            code_version=spec.code_version,
            partitions_def=tract_partitions(release) if spec.by_tract else None,
            deps=[*upstream_keys(spec), *(asset_key(release, name) for name in self.deps)],
            metadata={
                "dagster/column_schema": column_schema(spec),
                # Dagster takes assets of one such name for one table, whatever lakes they lie in.
                "dagster/table_name": ".".join(asset_key(release, spec.table).path),
                **code_reference(self.function),
            },
            check_specs=check_specs(release, spec),
            output_required=False,
            automation_condition=self.automation_condition,
            freshness_policy=self.freshness_policy,
        )
        return make(_events(release, spec, self.function))

    def _input(self, release: Release, name: str) -> str:
        """Return the table that a parameter of the function takes."""
        return self.inputs[name](release).table if name in self.inputs else name


def lake_table(
    spec: TableSpec | Callable[[Release], TableSpec],
    *,
    deps: Iterable[str] = (),
    inputs: Mapping[str, Callable[[Release], TableSpec]] | None = None,
    is_of: Callable[[Release], bool] = lambda _: True,
    automation_condition: dg.AutomationCondition[Any] | None = None,
    freshness_policy: dg.FreshnessPolicy | None = None,
) -> Callable[[Callable[..., TableResult]], LakeTable]:
    """Make a table of the lake of a function that writes it.

    Parameters
    ----------
    spec
        The table, or what makes it of a release.
    deps
        Tables that it is made of and that the function reads through the lake, besides the archive's own.
    inputs
        Of parameters that take another table than that of their name, what makes the table's spec of a release.
    is_of
        Whether a release has the table, made so.
    automation_condition, freshness_policy
        When it follows what it is made of, and how old it may get.

    Notes
    -----
    The function takes what an asset's function takes (context, resources, inputs, configuration), writes the
    table by ``ingest`` or ``lake.writing``, and returns what it wrote. Its docstring is the asset's description.
    """
    return lambda function: LakeTable(
        spec=(lambda _: spec) if isinstance(spec, TableSpec) else spec,
        function=function,
        deps=tuple(deps),
        inputs=inputs or {},
        is_of=is_of,
        automation_condition=automation_condition,
        freshness_policy=freshness_policy,
    )


def code_reference(function: Callable[..., Any]) -> dict[str, dg.CodeReferencesMetadataValue]:
    """Return the metadata by which an asset's page names the lines that it is made by."""
    code = inspect.unwrap(function).__code__
    with warnings.catch_warnings():
        # A beta feature of Dagster 1.13; that the references are there stands in a test.
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        place = dg.LocalFileCodeReference(file_path=code.co_filename, line_number=code.co_firstlineno)
        return {"dagster/code_references": dg.CodeReferencesMetadataValue(code_references=[place])}


def upstream_keys(contract: Contract) -> list[dg.AssetKey]:
    """List the archive's tables that a contract's columns come from, as asset keys."""
    tables = {origin.rpartition(".")[0] for column in contract for origin in column.derived_from}
    return [archive_key(table) for table in sorted(tables) if "." in table]


def _events(release: Release, spec: TableSpec, function: Callable[..., TableResult]) -> Callable[..., _Events]:
    """Wrap a function so that it yields what Dagster is to record of a table that it writes."""

    @functools.wraps(function)
    def wrapped(*arguments: Any, **inputs: Any) -> _Events:
        with as_dagster_failure():
            try:
                result = function(*arguments, **inputs)
            except TableRefusedError as error:
                # What is refused is not in the lake, where stamps are chosen.
                yield from (check_result(spec.check(verdict.check), verdict) for verdict in error.verdicts)
                raise
            tract = result.table.provenance.tract
            for verdict in (*result.table.verdicts, *result.verdicts):
                yield check_result(spec.check(verdict.check), verdict, how_to_see(release, verdict, tract))
            yield from result.observations
            yield _output(result)

    # Dagster reads both: of the function it takes the inputs, of the wrapper what comes out.
    signature = inspect.signature(function)
    wrapped.__signature__ = signature.replace(return_annotation=_Events)  # type: ignore[attr-defined]
    wrapped.__annotations__ = function.__annotations__ | {"return": _Events}
    return wrapped


def _output(result: TableResult) -> dg.Output[WrittenTable]:
    version = None if result.data_version is None else dg.DataVersion(result.data_version)
    with warnings.catch_warnings():
        # A beta feature of Dagster 1.13; what follows by it stands in a test.
        warnings.filterwarnings("ignore", "Parameter `data_version`", dg.BetaWarning)
        return dg.Output(result.table, metadata=dict(result.metadata), data_version=version)
