"""How the service behaves where services differ: named switches, and three sets of them."""

from dataclasses import dataclass
from typing import Self


@dataclass(frozen=True, kw_only=True)
class Profile:
    """What the service offers and how it answers. The defaults are a friendly standard service.

    Attributes
    ----------
    name
        What the set of switches is called.
    scisql
        Offers Rubin's scisql functions.
    subqueries
        Offers subqueries, WITH and set operations.
    lower_case_names
        Names tables and columns in lower case, in TAP_SCHEMA and in results.
    booleans_as_short
        Serves flags as 0 and 1.
    default_format
        Key in ``formats.FORMATS`` of the answer where the request names none.
    offered_formats
        Keys in ``formats.FORMATS`` of what it offers; None for all.
    votable_always_binary2
        Answers every VOTable, CSV and TSV request with BINARY2.
    numbered_field_ids
        Gives each FIELD the ID ``col_N``.
    parquet_string_lists
        Writes strings to Parquet as lists of one element, and no mark of overflow.
    default_maxrec, hard_maxrec
        Rows where the request sends no MAXREC, and at most.
    row_count_in_job
        Names the row count among a job's results, as ``final:N``.
    progress_in_job
        Names chunks done and in total in a job's ``jobInfo``.
    held_phase
        Passes through HELD between RUN and EXECUTING.
    jobs_path
        Where job resources are, from the root of the host; None for ``/tap/async``.
    results_on_other_host
        Answers a result with a redirect to the same server under another host name, where no token is taken.
    error_status
        HTTP status of a query error.
    sync_limit_seconds
        Time that a sync query may run; making rows does not count.
    sync_limit_status
        HTTP status of a sync query that ran out of time.
    execution_limit_seconds
        Time that an async query may run.
    wait_limit_seconds
        Longest wait of a job request with WAIT.
    concurrent_queries
        Queries at once; the next one ends in ERROR. None for queueing instead.
    six_digit_floats
        Gives numbers of single precision with six significant digits, but for DP0.2.
    upload_bytes
        Bytes of a request, with the tables that it brings along, at most; None where it takes none.
    requests_per_minute
        Requests in a minute's window, over which the answer is 429; None for no limit.
    cutouts_per_minute
        Cutouts in a minute's window, over which the answer is 429; None for no limit.
    signed_url_seconds
        How long the URL holds that a cutout is fetched from on another host.
    delete_cancels
        DELETE stops a running query.
    java_error_names
        Puts the name of a Java exception before the text of an error that is the client's.
    one_area_only
        Counts every chunk for a query with more than one area restriction, or one that is not literal.
    """

    name: str = "friendly"
    scisql: bool = True
    subqueries: bool = True
    lower_case_names: bool = False
    booleans_as_short: bool = False
    default_format: str = "binary2"
    offered_formats: tuple[str, ...] | None = None
    votable_always_binary2: bool = False
    numbered_field_ids: bool = False
    parquet_string_lists: bool = False
    default_maxrec: int = 100_000_000
    hard_maxrec: int = 100_000_000
    row_count_in_job: bool = True
    progress_in_job: bool = False
    held_phase: bool = False
    jobs_path: str | None = None
    results_on_other_host: bool = False
    error_status: int = 400
    sync_limit_seconds: float = 600
    sync_limit_status: int = 400
    execution_limit_seconds: int = 14_400
    wait_limit_seconds: float = 60
    concurrent_queries: int | None = None
    six_digit_floats: bool = True
    upload_bytes: int | None = 33_554_432
    requests_per_minute: int | None = None
    cutouts_per_minute: int | None = None
    signed_url_seconds: float = 3600
    delete_cancels: bool = True
    java_error_names: bool = False
    one_area_only: bool = False

    @classmethod
    def friendly(cls) -> Self:
        """Return the default: every format, every function, clear errors."""
        return cls()

    @classmethod
    def rubin(cls) -> Self:
        """Return Rubin's behaviour, as of late 2026 (lsst-tap-service, qserv-kafka, opencadc/uws)."""
        return cls(
            name="rubin",
            subqueries=False,
            votable_always_binary2=True,
            numbered_field_ids=True,
            parquet_string_lists=True,
            progress_in_job=True,
            held_phase=True,
            results_on_other_host=True,
            sync_limit_seconds=60,
            sync_limit_status=200,
            concurrent_queries=12,
            requests_per_minute=1000,
            cutouts_per_minute=35,
            delete_cancels=False,
            java_error_names=True,
            one_area_only=True,
        )

    @classmethod
    def plain(cls) -> Self:
        """Return a plain standard service without Rubin's extras, after the manner of GAVO DaCHS."""
        return cls(
            name="plain",
            scisql=False,
            lower_case_names=True,
            booleans_as_short=True,
            default_format="tabledata",
            default_maxrec=2000,
            row_count_in_job=False,
            jobs_path="/__system__/tap/run/async",
            error_status=200,
        )
