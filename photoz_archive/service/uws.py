"""Jobs as UWS 1.1 documents."""

from typing import Any

from pydantic_xml import BaseXmlModel, element
from vo_models.uws.models import (
    NSMAP,
    ErrorSummary,
    Jobs,
    JobSummary,
    Parameter,
    ResultReference,
    Results,
    ShortJobDescription,
)
from vo_models.uws.types import ErrorType, UWSVersion
from vo_models.uws.types import ExecutionPhase as Phase
from vo_models.voresource.types import UTCTimestamp

from photoz_archive.service.jobs import UwsJob
from photoz_archive.service.profile import Profile


class JobParameters(BaseXmlModel, tag="parameters", ns="uws", nsmap=NSMAP):
    """The parameters that a job was made with, whatever their names."""

    parameters: list[Parameter] = element(tag="parameter", ns="uws", default_factory=list)


class _Progress(BaseXmlModel, tag="jobInfo", ns="uws", nsmap=NSMAP):
    percent_complete: int = element(tag="percentComplete", ns="uws")
    items_processed: int = element(tag="itemsProcessed", ns="uws")
    total_items: int = element(tag="totalItems", ns="uws")


class _JobDocument(JobSummary[JobParameters], tag="job", ns="uws", nsmap=NSMAP):
    progress: _Progress | None = element(tag="jobInfo", ns="uws", default=None)


def job_document(job: UwsJob, url: str, profile: Profile) -> bytes:
    """Write a job's document; ``url`` is the job's own."""
    progress = None
    if profile.progress_in_job and job.chunks_total:
        done = job.chunks_done or 0
        progress = _Progress(
            percent_complete=100 * done // job.chunks_total, items_processed=done, total_items=job.chunks_total
        )
    summary = None
    if job.error is not None and job.phase in {Phase.ERROR, Phase.ABORTED}:
        summary = ErrorSummary(message=job.error, type=ErrorType.FATAL, has_detail=True)
    optional: dict[str, Any] = {"run_id": job.run_id, "error_summary": summary, "progress": progress}
    document = _JobDocument(
        version=UWSVersion.V1_1,
        job_id=job.id,
        # These have to be there, and say that they are empty (UWS 1.1, its XML schema).
        owner_id=None,
        quote=None,
        phase=job.phase,
        creation_time=_timestamp(job.creation_time),
        start_time=_timestamp(job.start_time),
        end_time=_timestamp(job.end_time),
        execution_duration=job.execution_duration,
        destruction=_timestamp(job.destruction),
        parameters=_parameters(job),
        results=_results(job, url, profile),
        **{name: value for name, value in optional.items() if value is not None},
    )
    return _bytes(document)


def parameters_document(job: UwsJob) -> bytes:
    """Write a job's parameters alone."""
    return _bytes(_parameters(job))


def results_document(job: UwsJob, url: str, profile: Profile) -> bytes:
    """Write the list of a job's results alone."""
    return _bytes(_results(job, url, profile))


def job_list_document(jobs: list[tuple[UwsJob, str]]) -> bytes:
    """Write a list of jobs, each with its URL."""
    references = [
        ShortJobDescription(
            job_id=job.id,
            phase=job.phase,
            run_id=job.run_id,
            creation_time=_timestamp(job.creation_time),
            href=url,
        )
        for job, url in jobs
    ]
    return _bytes(Jobs(version=UWSVersion.V1_1, jobref=references))


def _parameters(job: UwsJob) -> JobParameters:
    return JobParameters(parameters=[Parameter(id=name, value=value) for name, value in job.parameters.items()])


def _results(job: UwsJob, url: str, profile: Profile) -> Results:
    if job.phase is not Phase.COMPLETED:
        return Results()
    references = [ResultReference(id="result", href=f"{url}/results/result", mime_type=job.content_type)]
    if profile.row_count_in_job:
        references.append(ResultReference(id="rowcount", href=f"final:{job.rows}", mime_type="text/plain"))
    return Results(results=references)


def _timestamp(time: object) -> UTCTimestamp | None:
    return None if time is None else UTCTimestamp.fromisoformat(str(time))


def _bytes(document: BaseXmlModel) -> bytes:
    written = document.to_xml(skip_empty=False, encoding="UTF-8", xml_declaration=True, exclude_unset=True)
    return written.encode() if isinstance(written, str) else bytes(written)
