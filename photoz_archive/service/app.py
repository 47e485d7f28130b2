"""The HTTP routes of the service."""

import asyncio
import math
import reprlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from functools import partial
from typing import Final

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from photoz_archive.adql.errors import AdqlError
from photoz_archive.service import uws, vosi
from photoz_archive.service.access import BUCKET, AccessMiddleware, other_host
from photoz_archive.service.cancellation import Cancellation
from photoz_archive.service.errors import (
    BadRequestError,
    InsufficientStorageError,
    NotFoundError,
    QueryStoppedError,
    ServiceError,
)
from photoz_archive.service.examples import examples_document
from photoz_archive.service.image_service import CUTOUT, LINKS, SYNC, ImageService
from photoz_archive.service.jobs import FINAL, UwsJob
from photoz_archive.service.parameters import collect, moment, parse_query, whole_number
from photoz_archive.service.query_service import QueryService
from photoz_archive.service.refusal import VOTABLE, refusal
from photoz_archive.service.uploads import Documents, documents_of, parts_of
from photoz_archive.service.votable import error_document

_XML: Final = "text/xml"
_ROOT: Final = "/tap"
_POLL_SECONDS: Final = 0.05
_DISCONNECT_POLL_SECONDS: Final = 1


class TapApplication:
    """The TAP service of one archive as a Starlette application."""

    def __init__(self, archive: QueryService, images: ImageService, token: str | None) -> None:
        self._archive = archive
        self._profile = archive.profile
        self._up_since = datetime.now(UTC)
        self._jobs_path = archive.profile.jobs_path or f"{_ROOT}/async"
        self._sync_slots = asyncio.Semaphore(8)
        self.starlette = Starlette(
            routes=[*self._routes(), *images.routes()],
            exception_handlers={
                AdqlError: self._refuse,
                ServiceError: self._refuse,
                HTTPException: self._refuse_route,
                Exception: self._fail,
            },
        )
        open_paths = frozenset({f"{_ROOT}/capabilities", f"{_ROOT}/availability", f"{CUTOUT}/capabilities"})
        self.starlette.add_middleware(AccessMiddleware, archive=archive, token=token, open_paths=open_paths)

    def _routes(self) -> Iterator[Route]:
        job = f"{self._jobs_path}/{{job_id}}"
        yield Route(_ROOT, self._root)
        yield Route(f"{_ROOT}/capabilities", self._capabilities)
        yield Route(f"{_ROOT}/availability", self._availability)
        yield Route(f"{_ROOT}/examples", self._examples)
        yield Route(f"{_ROOT}/tables", self._tables)
        yield Route(f"{_ROOT}/tables/{{table}}", self._table)
        yield Route(f"{_ROOT}/sync", self._sync, methods=["GET", "POST"])
        yield Route(f"{_ROOT}/async", self._job_list, methods=["GET"])
        yield Route(f"{_ROOT}/async", self._create, methods=["POST"])
        yield Route(job, self._job, methods=["GET"])
        yield Route(job, self._act, methods=["POST"])
        yield Route(job, self._delete, methods=["DELETE"])
        yield Route(f"{job}/phase", self._set_phase, methods=["POST"])
        yield Route(f"{job}/parameters", self._set_parameters, methods=["POST"])
        yield Route(f"{job}/destruction", self._set_destruction, methods=["POST"])
        yield Route(f"{job}/executionduration", self._set_duration, methods=["POST"])
        yield Route(f"{job}/results/result", self._result, methods=["GET"])
        yield Route(f"{BUCKET}/{{job_id}}", self._bucket, methods=["GET"])
        yield Route(f"{job}/error", self._error, methods=["GET"])
        yield Route(f"{job}/{{part}}", self._part, methods=["GET"])

    async def _root(self, request: Request) -> Response:
        return PlainTextResponse(f"A TAP service; its capabilities: {_absolute(request, _ROOT)}/capabilities\n")

    async def _capabilities(self, request: Request) -> Response:
        services = {vosi.SODA_SYNC: _absolute(request, SYNC), vosi.DATALINK: _absolute(request, LINKS)}
        document = await run_in_threadpool(
            vosi.capabilities_document, _absolute(request, _ROOT), self._profile, services
        )
        return Response(document, media_type=_XML)

    async def _availability(self, request: Request) -> Response:
        del request
        note = "An archive of simulated rows, embedded in photoz_assets"
        return Response(vosi.availability_document(self._up_since, note), media_type=_XML)

    async def _examples(self, request: Request) -> Response:
        del request
        return Response(examples_document(), media_type="application/xhtml+xml")

    async def _tables(self, request: Request) -> Response:
        del request
        return Response(await run_in_threadpool(vosi.tables_document, self._archive.schema), media_type=_XML)

    async def _table(self, request: Request) -> Response:
        schema, _, name = request.path_params["table"].partition(".")
        table = self._archive.schema.catalog.find(schema, name)
        if table is None:
            raise NotFoundError(f"There is no table {schema}.{name}")
        return Response(vosi.table_document(table, self._archive.schema), media_type=_XML)

    async def _sync(self, request: Request) -> Response:
        parameters, uploads = await self._sent(request)
        query = parse_query(parameters, self._profile, uploads)
        cancellation = Cancellation()
        await self._sync_slots.acquire()
        try:
            opening = asyncio.ensure_future(
                run_in_threadpool(self._archive.open, query, cancellation, self._profile.sync_limit_seconds)
            )
            while not (await asyncio.wait({opening}, timeout=_DISCONNECT_POLL_SECONDS))[0]:
                if await request.is_disconnected():
                    cancellation.stop("The client went away")
            stream = await opening
        except BaseException:
            self._sync_slots.release()
            raise

        def finish() -> None:
            stream.close()
            self._sync_slots.release()

        return _FinishedResponse(self._archive.write(stream, query), finish, query.format.content_type)

    async def _job_list(self, request: Request) -> Response:
        asked = collect(request.query_params.multi_items())
        phase = asked.get("PHASE")
        jobs = [job for job in self._archive.jobs.all() if phase is None or job.phase.value == phase.upper()]
        if "AFTER" in asked:
            after = moment("AFTER", asked["AFTER"])
            jobs = [job for job in jobs if job.creation_time > after]
        if "LAST" in asked:
            jobs = jobs[: whole_number("LAST", asked["LAST"], at_most=len(jobs))]
        return Response(uws.job_list_document([(job, self._url(request, job)) for job in jobs]), media_type=_XML)

    async def _create(self, request: Request) -> Response:
        parameters, uploads = await self._sent(request)
        run = parameters.pop("PHASE", "").upper() == "RUN"
        job = await run_in_threadpool(self._archive.jobs.create, parameters, uploads)
        if run:
            await run_in_threadpool(self._archive.start, job)
        return self._see(request, job)

    async def _job(self, request: Request) -> Response:
        job = self._find(request)
        asked = collect(request.query_params.multi_items())
        if "WAIT" in asked:
            await self._wait(job, asked["WAIT"], asked.get("PHASE"))
        return Response(uws.job_document(job, self._url(request, job), self._profile), media_type=_XML)

    async def _wait(self, job: UwsJob, wait: str, phase: str | None) -> None:
        """Block until the phase changes or the time is over; -1 is as long as we will (UWS 1.1 sec. 2.2.1.1)."""
        limit = self._profile.wait_limit_seconds
        seconds = math.inf if wait.strip() == "-1" else whole_number("WAIT", wait, at_most=math.ceil(limit))
        left = min(seconds, limit)
        before = job.phase
        if before in FINAL or (phase is not None and phase.upper() != before.value):
            return
        while job.phase is before and left > 0:
            await asyncio.sleep(min(_POLL_SECONDS, left))
            left -= _POLL_SECONDS

    async def _act(self, request: Request) -> Response:
        parameters = await _parameters(request)
        if parameters.get("ACTION", "").upper() == "DELETE":
            return await self._delete(request)
        raise BadRequestError("Expected ACTION=DELETE")

    async def _delete(self, request: Request) -> Response:
        await run_in_threadpool(self._archive.delete, self._find(request))
        return RedirectResponse(_absolute(request, f"{_ROOT}/async"), status_code=303)

    async def _set_phase(self, request: Request) -> Response:
        job = self._find(request)
        phase = (await _parameters(request)).get("PHASE", "").upper()
        action = {"RUN": self._archive.start, "ABORT": self._archive.abort}.get(phase)
        if action is None:
            raise BadRequestError(f"PHASE is {reprlib.repr(phase)}; expected RUN or ABORT")
        await run_in_threadpool(action, job)
        return self._see(request, job)

    async def _set_parameters(self, request: Request) -> Response:
        job = self._find(request)
        parameters, uploads = await self._sent(request)
        merged = job.parameters | parameters
        await run_in_threadpool(partial(self._archive.jobs.change, job, only_pending=True, parameters=merged))
        await run_in_threadpool(self._archive.jobs.keep_uploads, job, uploads)
        return self._see(request, job)

    async def _set_destruction(self, request: Request) -> Response:
        """Bring the destruction time forward; it is never put off."""
        job = self._find(request)
        wanted = moment("DESTRUCTION", (await _parameters(request)).get("DESTRUCTION", ""))
        await run_in_threadpool(partial(self._archive.jobs.change, job, destruction=min(wanted, job.destruction)))
        return self._see(request, job)

    async def _set_duration(self, request: Request) -> Response:
        """Shorten the time that the job may run; it is never lengthened. 0 asks for the most."""
        job = self._find(request)
        sent = (await _parameters(request)).get("EXECUTIONDURATION", "")
        limit = self._profile.execution_limit_seconds
        wanted = whole_number("EXECUTIONDURATION", sent, at_most=limit)
        await run_in_threadpool(
            partial(
                self._archive.jobs.change,
                job,
                only_pending=True,
                execution_duration=wanted or limit,
            )
        )
        return self._see(request, job)

    async def _result(self, request: Request) -> Response:
        job = self._find(request)
        if self._profile.results_on_other_host and (other := other_host(request.url)) is not None:
            self._archive.jobs.result(job)
            return RedirectResponse(str(other.replace(path=f"{BUCKET}/{job.id}")), status_code=303)
        return self._file(job)

    async def _bucket(self, request: Request) -> Response:
        return self._file(self._find(request))

    def _file(self, job: UwsJob) -> Response:
        path = self._archive.jobs.result(job)
        # RFC 9530; a job of an older archive has none.
        headers = {"Repr-Digest": f"sha-256=:{job.sha256}:"} if job.sha256 else None
        return FileResponse(path, media_type=job.content_type, headers=headers)

    async def _error(self, request: Request) -> Response:
        job = self._find(request)
        if job.error is None:
            raise NotFoundError(f"Job {job.id!r} is {job.phase.value} and has no error")
        return Response(error_document(job.error), media_type=VOTABLE)

    async def _part(self, request: Request) -> Response:
        job = self._find(request)
        url = self._url(request, job)
        texts = {
            "phase": job.phase.value,
            "destruction": job.destruction.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "executionduration": str(job.execution_duration),
            "quote": "",
            "owner": "",
        }
        part = request.path_params["part"]
        if part in texts:
            return PlainTextResponse(texts[part])
        if part == "parameters":
            return Response(uws.parameters_document(job), media_type=_XML)
        if part == "results":
            return Response(uws.results_document(job, url, self._profile), media_type=_XML)
        raise NotFoundError(f"A job has no {part!r}")

    async def _sent(self, request: Request) -> tuple[dict[str, str], Documents]:
        """Return the parameters of a query, and the tables that it brings along."""
        limit = self._profile.upload_bytes
        sent = await _pairs(_bounded(request, limit) if limit else request)
        named = [value for name, value in sent if name.upper() == "UPLOAD" and isinstance(value, str)]
        if any(named) and not limit:
            raise BadRequestError("UPLOAD is not supported: this archive takes no tables")
        parts = set(parts_of(";".join(named)).values())
        texts = [(name, value) for name, value in sent if isinstance(value, str) and name not in parts]
        documents = {
            name: value.encode() if isinstance(value, str) else await value.read()
            for name, value in sent
            if name in parts
        }
        return collect(texts), documents_of(";".join(named), documents)

    def _find(self, request: Request) -> UwsJob:
        return self._archive.jobs.get(request.path_params["job_id"])

    def _url(self, request: Request, job: UwsJob) -> str:
        return f"{_absolute(request, self._jobs_path)}/{job.id}"

    def _see(self, request: Request, job: UwsJob) -> Response:
        return RedirectResponse(self._url(request, job), status_code=303)

    async def _refuse(self, request: Request, error: Exception) -> Response:
        if not isinstance(error, (AdqlError, ServiceError)):
            raise error
        status = error.status if isinstance(error, ServiceError) else self._profile.error_status
        if isinstance(error, QueryStoppedError):
            status = self._profile.sync_limit_status
        elif request.scope["path"] == f"{_ROOT}/sync" and not isinstance(error, InsufficientStorageError):
            status = self._profile.error_status
        return refusal(self._archive.message(error), status)

    async def _refuse_route(self, request: Request, error: Exception) -> Response:
        """Answer what the router, or the reader of forms, refuses."""
        if not isinstance(error, HTTPException):
            raise error
        path = request.scope["path"]
        words = {
            404: f"There is nothing at {path}; what the service has is listed at {_ROOT}/capabilities",
            405: f"{path} takes no {request.method}; it takes {(error.headers or {}).get('Allow', 'others')}",
        }
        return refusal(words.get(error.status_code, error.detail), error.status_code, error.headers)

    async def _fail(self, request: Request, error: Exception) -> Response:
        """Answer where something unexpected happened, which the server logs; its words are not for the client."""
        del request, error
        return refusal("The archive failed to answer; its log says why", 500)


class _FinishedResponse(StreamingResponse):
    """A streamed answer that calls ``finish`` however it ends, also when the client goes away."""

    def __init__(self, body: Iterator[bytes], finish: Callable[[], None], media_type: str) -> None:
        super().__init__(body, media_type=media_type)
        self._finish = finish

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._finish()


async def _parameters(request: Request) -> dict[str, str]:
    """Return the parameters of the URL and of the form together, names in upper case."""
    return collect((name, value) for name, value in await _pairs(request) if isinstance(value, str))


async def _pairs(request: Request) -> list[tuple[str, str | UploadFile]]:
    """Return what the URL and the form hold, in order."""
    pairs: list[tuple[str, str | UploadFile]] = [*request.query_params.multi_items()]
    if request.method == "POST":
        try:
            pairs += (await request.form()).multi_items()
        except UnicodeError as error:
            raise BadRequestError("The form is not in the character set that it names") from error
    return pairs


def _bounded(request: Request, most_bytes: int) -> Request:
    """Return a request whose body is refused where it is longer, without being kept."""
    read = 0

    async def receive() -> Message:
        nonlocal read
        message = await request.receive()
        read += len(message.get("body", b""))
        # A client hears nothing before it has sent all.
        while read > most_bytes and message.get("more_body"):
            message = await request.receive()
        if read > most_bytes:
            raise BadRequestError(
                f"The request has more than {most_bytes} bytes, the uploadLimit of /capabilities; "
                "send the table in pieces, a request each"
            )
        return message

    return Request(request.scope, receive)


def _absolute(request: Request, path: str) -> str:
    try:
        return str(request.url.replace(path=path, query="", fragment=""))
    except ValueError as error:
        raise BadRequestError("The header Host is not the name of a host") from error
