"""What was tried on the pipeline from outside, and the test that holds what came of it.

Public reports and files, an adversary's list, and services' dialects have sources of their own (``tap/inputs``,
``tap/test_dialects``, ``commands/test_page``); here is the adversary's list, a fault a line.
"""

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, kw_only=True)
class Attempt:
    """Something that was tried: what, what comes of it now, and the test, by file and function."""

    tried: str
    found: str
    test: str


ATTEMPTS: Final = (
    Attempt(
        tried="a run whose configuration names another archive, to have the token sent there",
        found="it is asked without the token, and the run says so",
        test="photoz_assets_tests/orchestration/test_token.py::test_run_configured_for_another_origin_asks_without_the_token",
    ),
    Attempt(
        tried="a run whose configuration names the variable of a token as a URL, a folder or a band",
        found="refused in one line; the token is nowhere in the event log",
        test="photoz_assets_tests/orchestration/test_declared.py::test_run_whose_configuration_names_the_variable_of_a_token_shows_it_nowhere",
    ),
    Attempt(
        tried="a run whose configuration names another folder as the lake",
        found="refused in one line; the folder is neither read nor made",
        test="photoz_assets_tests/orchestration/test_declared.py::test_run_configured_for_another_lake_is_refused_and_leaves_it_alone",
    ),
    Attempt(
        tried="a run whose configuration names another Butler repository",
        found="refused in one line; nothing is opened",
        test="photoz_assets_tests/orchestration/test_declared.py::test_run_configured_for_another_repository_is_refused",
    ),
    Attempt(
        tried="tracts published again and again while many of them are read",
        found="each answer is of one version of each file",
        test="photoz_assets_tests/lake/test_replaced.py::test_views_show_whole_versions_of_tracts_that_are_published_again",
    ),
    Attempt(
        tried="a tract published again between the reading of its rows and of its provenance",
        found="both are of the version that was read",
        test="photoz_assets_tests/orchestration/test_damage.py::test_diagnostics_say_of_which_version_they_are_that_was_read",
    ),
    Attempt(
        tried="a power cut after a rename",
        found="what is in its place was on the disk before, and its folders are after",
        test="photoz_assets_tests/lake/test_durable.py::test_file_is_on_the_disk_before_it_is_in_its_place_and_its_folders_after",
    ),
    Attempt(
        tried="a first start on a full disk",
        found="the line names the file; no empty settings are left",
        test="photoz_assets_tests/commands/test_instance.py::test_first_start_on_a_full_disk_names_the_file_and_leaves_no_empty_settings",
    ),
    Attempt(
        tried="a clock that was ahead when a tract was asked for",
        found="a change is told by what was listed, not by the time",
        test="photoz_assets_tests/lake/test_freshness.py::test_no_clock_decides_what_has_changed",
    ),
    Attempt(
        tried="a job that a dead run left, taken over after the archive has changed",
        found="it is not gone on with; the tract is asked for anew",
        test="photoz_assets_tests/ingest/test_archive_job.py::test_job_that_was_asked_before_the_archive_changed_is_not_what_a_later_run_gives_out",
    ),
    Attempt(
        tried="a job on record that is of another query",
        found="it is left alone; the tract is asked for anew",
        test="photoz_assets_tests/ingest/test_archive_job.py::test_job_of_another_query_is_left_alone_and_the_tract_asked_anew",
    ),
    Attempt(
        tried="a pipe, a folder, a file of others and one that nobody may read in a table's place",
        found="it costs its own view, and is named",
        test="photoz_assets_tests/lake/test_views.py::test_bad_file_costs_its_own_view_alone_and_is_named",
    ),
    Attempt(
        tried="a provenance that is nested deeply, or of wrong types",
        found="the file is named with what to do",
        test="photoz_assets_tests/lake/test_staging.py::test_provenance_without_sense_is_named_with_what_to_do",
    ),
    Attempt(
        tried="bits flipped in stored rows, also where they can still be decoded",
        found="what reads them fails in one line that names the file; `photoz status --verify` finds them",
        test="photoz_assets_tests/orchestration/test_damage.py::test_what_reads_a_damaged_file_fails_in_one_line",
    ),
    Attempt(
        tried="few bytes of Parquet that stand for gigabytes of text",
        found="refused within a bound",
        test="photoz_assets_tests/tap/test_parquet.py::test_read_of_few_bytes_that_stand_for_many_is_bounded",
    ),
    Attempt(
        tried="two demos at once on one lake",
        found="both end well, judged by what is in the lake",
        test="photoz_assets_tests/commands/test_demo.py::test_demos_make_everything_whatever_is_there_and_say_where",
    ),
    Attempt(
        tried="a redirect of another machine into this one",
        found="not followed",
        test="photoz_assets_tests/tap/test_transport.py::test_redirect_from_another_machine_into_this_one_is_not_followed",
    ),
    Attempt(
        tried="a redirect of a POST or a DELETE to another origin",
        found="not followed",
        test="photoz_assets_tests/tap/test_transport.py::test_redirect_of_a_change_to_another_origin_is_not_followed",
    ),
    Attempt(
        tried="a token over plain http to another machine",
        found="it is withheld, and the line says why",
        test="photoz_assets_tests/tap/test_transport.py::test_token_never_goes_over_plain_http_to_another_machine",
    ),
    Attempt(
        tried="a proxy in the environment that is for the world outside",
        found="this machine is never asked through it; one that fails is named",
        test="photoz_assets_tests/tap/test_transport.py::test_loopback_is_never_asked_through_a_proxy",
    ),
    Attempt(
        tried="statements of `photoz query` that write, attach, load, or read other files",
        found="refused in one line",
        test="photoz_assets_tests/commands/test_query.py::test_statement_that_does_more_than_read_is_refused",
    ),
    Attempt(
        tried="a lake that another account began",
        found="the line says what to do; with a group that may write, both publish",
        test="photoz_assets_tests/lake/test_sharing.py::test_accounts_of_a_group_publish_over_each_other_and_read",
    ),
    Attempt(
        tried="a database of Dagster that another program holds",
        found="it is named",
        test="photoz_assets_tests/commands/test_instance.py::test_locked_database_is_named",
    ),
    Attempt(
        tried="a second page on one `DAGSTER_HOME`",
        found="refused with the address of the first",
        test="photoz_assets_tests/commands/test_ui.py::test_second_page_of_one_folder_is_refused_with_the_first_ones_address",
    ),
    Attempt(
        tried="a backfill that is cancelled",
        found="its tracts have not failed",
        test="photoz_assets_tests/orchestration/test_automation.py::test_cancelled_run_is_no_failure",
    ),
    Attempt(
        tried="folders above the lake named as keys, patterns or options",
        found="names of folders are no patterns; the last folder alone says the tract",
        test="photoz_assets_tests/lake/test_views.py::test_names_of_folders_are_no_patterns",
    ),
)
