"""The web side of images: links from ObsCore's rows, cutouts, and the place that cutouts are fetched from.

Where the profile has results on another host, a cutout is a redirect to a signed URL there, which takes no token.
Whole images are linked by such URLs alone; drawing one counts for no quota.
"""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import URL
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from photoz_archive.images.files import MEDIA_TYPE, coadd_file
from photoz_archive.images.pixels import SkyImages
from photoz_archive.service import vosi
from photoz_archive.service.access import BUCKET, RateLimit, other_host
from photoz_archive.service.cutouts import PARAMETERS, Cutout, parse_cutout, whole_coadd
from photoz_archive.service.datalink import MEDIA_TYPE_OF_LINKS, links_document
from photoz_archive.service.errors import ServiceError
from photoz_archive.service.faults import Faults
from photoz_archive.service.profile import Profile
from photoz_archive.service.signed_urls import SignatureError, UrlSigner

LINKS: Final = "/datalink/links"
CUTOUT: Final = "/cutout"
SYNC: Final = f"{CUTOUT}/sync"
SCOPE: Final = "read:image"
_BUCKET_OF_CUTOUTS: Final = f"{BUCKET}/cutouts/cutout.fits"
_BUCKET_OF_IMAGES: Final = f"{BUCKET}/images/image.fits"
_XML: Final = "text/xml"


class ImageService:
    """Answers what is asked for images of one sky."""

    def __init__(self, images: SkyImages, profile: Profile, faults: Callable[[], Faults]) -> None:
        self._images = images
        self._profile = profile
        self._faults = faults
        self._signer = UrlSigner()
        self._rate = RateLimit(profile.cutouts_per_minute)

    def routes(self) -> Iterator[Route]:
        """Yield the routes of the service."""
        yield Route(LINKS, self._links, methods=["GET", "POST"])
        yield Route(SYNC, self._sync, methods=["GET", "POST"])
        yield Route(f"{CUTOUT}/capabilities", self._capabilities)
        yield Route(_BUCKET_OF_CUTOUTS, self._bucket)
        yield Route(_BUCKET_OF_IMAGES, self._whole)

    async def _links(self, request: Request) -> Response:
        if (refused := self._scope_refusal()) is not None:
            return refused
        identifiers = [value for name, value in await _pairs(request) if name.upper() == "ID"]
        cutouts = str(request.url.replace(path=SYNC, query=""))
        document = links_document(identifiers, cutouts, partial(self._file_url, request.url))
        return Response(document, media_type=MEDIA_TYPE_OF_LINKS)

    async def _sync(self, request: Request) -> Response:
        if (refused := self._scope_refusal() or self._rate.refusal()) is not None:
            return refused
        pairs = await _pairs(request)
        try:
            cutout = parse_cutout(pairs)
        except ServiceError as error:
            return _error(error)
        other = self._other_host(request.url)
        if other is None:
            return await self._file(cutout)
        granted = {name.upper(): value for name, value in pairs if name.upper() in PARAMETERS}
        query = self._signer.signed(granted, self._profile.signed_url_seconds)
        return RedirectResponse(str(other.replace(path=_BUCKET_OF_CUTOUTS, query=query)), status_code=303)

    async def _bucket(self, request: Request) -> Response:
        try:
            self._signer.check(request.query_params)
        except SignatureError as error:
            return _error(error)
        return await self._file(parse_cutout(request.query_params.items()))

    async def _whole(self, request: Request) -> Response:
        try:
            self._signer.check(request.query_params)
        except SignatureError as error:
            return _error(error)
        return await self._file(whole_coadd(request.query_params["ID"]))

    def _file_url(self, links: URL, identifier: str) -> str:
        """Return the signed URL of a whole image."""
        query = self._signer.signed({"ID": identifier}, self._profile.signed_url_seconds)
        return str((self._other_host(links) or links).replace(path=_BUCKET_OF_IMAGES, query=query))

    def _other_host(self, url: URL) -> URL | None:
        """Return the URL on the host that results are on, or None where that is the same."""
        return other_host(url) if self._profile.results_on_other_host else None

    async def _capabilities(self, request: Request) -> Response:
        url = str(request.url.replace(path=SYNC, query=""))
        return Response(await run_in_threadpool(vosi.cutout_capabilities_document, url), media_type=_XML)

    async def _file(self, cutout: Cutout) -> Response:
        content = await run_in_threadpool(partial(self._drawn, cutout))
        return Response(content[: self._faults().truncate_after_bytes], media_type=MEDIA_TYPE)

    def _drawn(self, cutout: Cutout) -> bytes:
        wanted = cutout.coadd
        coadd = self._images.coadd(wanted.tract, wanted.patch, wanted.band, cutout.box)
        rewrite = self._faults().rewrite_coadd
        return coadd_file(coadd if rewrite is None else rewrite(coadd), cutout.detail)

    def _scope_refusal(self) -> Response | None:
        """Refuse a token that may ask TAP and no more (RFC 6750 sec. 3.1)."""
        if not self._faults().no_image_scope:
            return None
        challenge = f'Bearer realm="photoz-archive", error="insufficient_scope", scope="{SCOPE}"'
        message = f"AuthenticationError: the token lacks the scope {SCOPE}; make one that has it"
        return PlainTextResponse(f"{message}\n", status_code=403, headers={"WWW-Authenticate": challenge})


async def _pairs(request: Request) -> list[tuple[str, str]]:
    """Return the parameters of the URL and of the form, in order."""
    pairs = request.query_params.multi_items()
    if request.method == "POST":
        pairs += [(name, value) for name, value in (await request.form()).multi_items() if isinstance(value, str)]
    return pairs


def _error(error: ServiceError) -> Response:
    """Tell an error as a cutout service does (SODA 1.0 sec. 5)."""
    kind = "AuthenticationError" if isinstance(error, SignatureError) else "UsageError"
    return PlainTextResponse(f"{kind}: {error}\n", status_code=error.status)
