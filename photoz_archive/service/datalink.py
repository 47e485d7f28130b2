"""The document of links: where images are, and the services that cut them (DataLink 1.1)."""

from collections.abc import Callable, Sequence
from typing import Final

from photoz_archive.images.files import MEDIA_TYPE, Detail
from photoz_archive.images.observations import CoaddId
from photoz_archive.service.vosi import SODA_SYNC
from photoz_archive.service.votable import Document

MEDIA_TYPE_OF_LINKS: Final = "application/x-votable+xml;content=datalink"

_COLUMNS: Final = {
    "ID": "meta.id;meta.main",
    "access_url": "meta.ref.url",
    "service_def": "meta.ref",
    "error_message": "meta.code.error",
    "description": "meta.note",
    "semantics": "meta.code",
    "content_type": "meta.code.mime",
}
_SERVICES: Final = {
    Detail.IMAGE: "cutout-sync",
    Detail.MASKED_IMAGE: "cutout-sync-maskedimage",
    Detail.EXPOSURE: "cutout-sync-exposure",
}
_STENCILS: Final = {
    "CIRCLE": {"arraysize": "3", "xtype": "circle"},
    "POLYGON": {"arraysize": "*", "xtype": "polygon"},
}


def links_document(identifiers: Sequence[str], cutout_url: str, file_url: Callable[[str], str]) -> bytes:
    """Write the links of images by their identifiers; of what there is not, an error in its row.

    Parameters
    ----------
    identifiers
        As ObsCore has them.
    cutout_url
        Where the service of cutouts is.
    file_url
        Gives the URL of the whole image of an identifier.
    """
    document = Document()
    document.begin()
    document.status("OK")
    document.start("TABLE")
    for name, ucd in _COLUMNS.items():
        field = {"ID": name, "name": name, "datatype": "char", "arraysize": "*", "ucd": ucd}
        document.element("FIELD", field)
    for tag in ("DATA", "TABLEDATA"):
        document.start(tag)
    for identifier in identifiers:
        _rows(document, identifier, file_url)
    for _ in ("TABLEDATA", "DATA", "TABLE", "RESOURCE"):
        document.end()
    # Of several images a client takes each from its row.
    only = identifiers[0] if len(identifiers) == 1 else ""
    for detail, service in _SERVICES.items():
        _service(document, service, detail, cutout_url, only)
    document.finish()
    return document.take()


def _rows(document: Document, identifier: str, file_url: Callable[[str], str]) -> None:
    if CoaddId.parsed(identifier) is None:
        _row(
            document,
            ID=identifier,
            error_message=f"NotFoundFault: there is no image {identifier}",
            semantics="#this",
        )
        return
    _row(
        document,
        ID=identifier,
        access_url=file_url(identifier),
        description=f"The whole image, as {Detail.EXPOSURE}",
        semantics="#this",
        content_type=MEDIA_TYPE,
    )
    for detail, service in _SERVICES.items():
        _row(
            document,
            ID=identifier,
            service_def=service,
            description=f"Cut out a part of the image, as {detail}",
            semantics="#cutout",
            content_type=MEDIA_TYPE,
        )


def _row(document: Document, **cells: str) -> None:
    document.start("TR")
    for name in _COLUMNS:
        document.element("TD", {}, cells.get(name, ""))
    document.end()
    document.newline()


def _service(document: Document, name: str, detail: Detail, url: str, identifier: str) -> None:
    """Describe the service of cutouts with one detail, of an image or, without an identifier, of that in a row."""
    document.start("RESOURCE", {"type": "meta", "ID": name, "utype": "adhoc:service"})
    text = {"datatype": "char", "arraysize": "*"}
    document.element("PARAM", {"name": "accessURL", "value": url, **text})
    document.element("PARAM", {"name": "standardID", "value": SODA_SYNC, **text})
    document.element("PARAM", {"name": "contentType", "value": MEDIA_TYPE, **text})
    document.start("GROUP", {"name": "inputParams"})
    row = {} if identifier else {"ref": "ID"}
    document.element("PARAM", {"name": "ID", "value": identifier, "ucd": "meta.id;meta.main", **row, **text})
    for stencil, attributes in _STENCILS.items():
        angles = {"datatype": "double", "unit": "deg", "ucd": "pos.outline;obs"}
        document.element("PARAM", {"name": stencil, "value": "", **angles, **attributes})
    document.element("PARAM", {"name": "CUTOUTDETAIL", "value": detail, **text})
    document.end()
    document.end()
    document.newline()
