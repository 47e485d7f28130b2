"""From a query to a table of the lake: asked of one archive, staged, counted, audited and published.

An archive that finds a query too large is asked for it in parts, which are joined before they are audited.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any, Final

import pyarrow as pa

from photoz_assets.ingest.archive_job import ArchiveRun, QueryTooLargeError, archive_job
from photoz_assets.ingest.table_query import TableQuery
from photoz_assets.lake.provenance import ArchiveIdentity, Provenance, rights_of, run_versions
from photoz_assets.lake.staging import StagedTable, stage, temp_file
from photoz_assets.lake.writing import TableRefusedError, WrittenTable, write_rows, write_table
from photoz_assets.survey.checks import COMPLETE, CONTRACT, Verdict
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import TableSpec
from photoz_assets.tap.client import TapClient
from photoz_assets.tap.errors import ContractViolation, Missing, Truncated
from photoz_assets.tap.jobs import Job
from photoz_assets.tap.results import ResultStream

_ROWS_BETWEEN_REPORTS: Final = 500_000


def identify(client: TapClient, release: Release) -> ArchiveIdentity:
    """Ask an archive how it declares a release that it holds, in TAP_SCHEMA.

    Raises
    ------
    ArchiveError
        It cannot be asked, or does not list the schema.
    """
    schema = client.schema_info(release.schema)
    used = [table.rpartition(".")[2].lower() for table in release.tables.values()]
    tables = {name: table.description for name, table in schema.tables.items() if name in used}
    return ArchiveIdentity.declared(release.schema, schema.description, tables)


@dataclass(frozen=True, kw_only=True)
class TapIngest(ArchiveRun):
    """Fetches a release's tables for one lake from one archive, in the name of one run."""

    release: Release

    def fetch_table(self, query: TableQuery) -> WrittenTable:
        """Fetch a table by an asynchronous job, or more, and publish it if its checks pass.

        Raises
        ------
        TableRefusedError
            The answer is not whole, not as the contract has it, or fails a blocking check.
        ForeignArchiveError
            The lake holds tables of another archive; nothing was asked.
        ArchiveError
            The archive did not answer.
        """
        with self.fetch_rows(query, query.spec) as (staged, counted):
            verdicts = [counted] if query.spec.has_check(COMPLETE) else []
            return write_table(self.lake, query.spec, staged, query.scope, verdicts)

    @contextmanager
    def fetch_rows(self, query: TableQuery, spec: TableSpec) -> Iterator[tuple[StagedTable, Verdict]]:
        """Lend a query's rows, staged and not audited, and the verdict on their number, for the time of a block.

        What comes of them is a table of ``spec``, whose checks fail where they cannot be read; raises as
        ``fetch_table``.
        """
        try:
            with ExitStack() as stack:
                staged = self._staged(query, self._identity(), stack)
                yield staged, _counted(staged)
        except (ContractViolation, Truncated) as error:
            name = CONTRACT if isinstance(error, ContractViolation) else COMPLETE
            raise TableRefusedError(str(error), [spec.check(name).failed(str(error))]) from error

    def fetch_table_sync(self, spec: TableSpec, adql: str) -> WrittenTable:
        """Fetch a small table by a synchronous query.

        Raises
        ------
        ForeignArchiveError
            The lake holds tables of another archive; nothing was asked.
        ArchiveError
            The archive did not answer, or its answer is not whole or not as the contract has it.
        """
        identity = self._identity()
        provenance = Provenance(
            table=spec.table,
            code_version=spec.code_version,
            archive=identity,
            run_id=self.run_id,
            adql=adql,
            **rights_of(self.release, identity.description),
            **run_versions(),
        )
        return write_rows(self.lake, spec, self.client.query(adql, spec.selected_schema), provenance)

    def _identity(self) -> ArchiveIdentity:
        """Return the archive's identity; refuse it if the lake is of another."""
        identity = identify(self.client, self.release)
        self.lake.require_same_archive(identity)
        return identity

    def _staged(self, query: TableQuery, identity: ArchiveIdentity, stack: ExitStack) -> StagedTable:
        """Stage a query's result; the stack gets what has to last until it is published."""
        started = self.clock()
        try:
            try:
                return stack.enter_context(self._result(query, identity, started))
            except Missing as error:
                self.log(f"{query.name}: asked anew, since the archive has lost the job: {error}")
                return stack.enter_context(self._result(query, identity, started))
        except QueryTooLargeError as error:
            parts = query.split()
            if not parts:
                raise error.reason from error
            self.log(f"{query.name}: asked again in two halves: {error.reason.message}")
        staged = self._joined(query, [self._staged(part, identity, stack) for part in parts], started)
        stack.callback(staged.discard)
        return staged

    @contextmanager
    def _result(self, query: TableQuery, identity: ArchiveIdentity, started: float) -> Iterator[StagedTable]:
        """Stage the result of one job, which lives as long as the block."""
        with archive_job(
            self, query, lambda job, expected: self._received(query, job, expected, identity, started)
        ) as staged:
            try:
                yield staged
            finally:
                staged.discard()

    def _received(
        self, query: TableQuery, job: Job, expected: int, identity: ArchiveIdentity, started: float
    ) -> StagedTable:
        """Stream a job's result into a staged table."""
        with temp_file(self.lake) as file:
            stream = job.fetch(
                query.spec.selected_schema,
                expected_rows=expected,
                spool=file,
                deadline_seconds=self.limits.deadline_seconds,
            )

            def provenance() -> Provenance:
                return query.annotate(
                    Provenance(
                        table=query.spec.table,
                        code_version=query.spec.code_version,
                        archive=identity,
                        selection=query.scope.selection,
                        tract=query.scope.tract,
                        listing=query.listing,
                        run_id=self.run_id,
                        adql=query.adql,
                        job_url=job.url,
                        rows_declared=expected,
                        rows_received=stream.rows,
                        bytes_received=stream.bytes,
                        seconds=round(self.clock() - started, 3),
                        **rights_of(self.release, identity.description),
                        **run_versions(),
                    )
                )

            batches = map(query.transform, self._reported(stream, query, expected))
            return stage(self.lake, query.spec, batches, provenance)

    def _joined(self, query: TableQuery, parts: Sequence[StagedTable], started: float) -> StagedTable:
        """Put a result together from its parts, in their order; no row lies in two of them."""

        def total(name: str) -> int:
            return sum(getattr(part.provenance, name) for part in parts)

        joined = replace(
            parts[0].provenance,
            adql=query.adql,
            job_url=None,
            rows_declared=total("rows_declared"),
            rows_received=total("rows_received"),
            bytes_received=total("bytes_received"),
            seconds=round(self.clock() - started, 3),
            parts=tuple(each for part in parts for each in part.provenance.parts or (part_of(part.provenance),)),
        )
        batches = (batch for part in parts for batch in part.batches())
        return stage(self.lake, query.spec, batches, lambda: query.annotate(joined))

    def _reported(self, stream: ResultStream, query: TableQuery, expected: int) -> Iterator[pa.RecordBatch]:
        """Pass batches on; report now and then how many rows have come."""
        reported = 0
        for batch in stream:
            yield batch
            if stream.rows - reported >= _ROWS_BETWEEN_REPORTS:
                reported = stream.rows
                self.log(f"{query.name}: {stream.rows:,} of {expected:,} rows received")
        self.log(f"{query.name}: {stream.rows:,} rows received, {stream.bytes / 1e6:.1f} MB")


def _counted(staged: StagedTable) -> Verdict:
    """Return the verdict of the check ``complete``, which was held while the table was received."""
    return Verdict(
        check=COMPLETE,
        passed=True,
        summary=f"{staged.rows:,} rows, as many as the archive counts",
        numbers={"rows": staged.rows, "rows_counted_by_the_archive": staged.provenance.rows_declared},
    )


def part_of(provenance: Provenance) -> dict[str, Any]:
    """Return what one part of a table was asked as and gave."""
    return {
        "adql": provenance.adql,
        "job_url": provenance.job_url,
        "rows_declared": provenance.rows_declared,
        "rows_received": provenance.rows_received,
    }
