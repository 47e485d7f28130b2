"""The document of an image's links, and of it the services that cut the image (DataLink 1.1, SODA 1.0).

Pure: bytes in, frozen facts out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element

from photoz_assets.tap.documents import descendants, parse
from photoz_assets.tap.errors import Missing, Protocol
from photoz_assets.tap.links import resolve

_CUTOUTS: Final = "ivo://ivoa.net/std/soda#sync-1."


@dataclass(frozen=True, kw_only=True)
class CutoutService:
    """A service that cuts one image: its URL, what it calls the image, and how much of it it gives, if it says."""

    url: str
    identifier: str
    detail: str | None


def cutout_services(body: bytes, url: str) -> list[CutoutService]:
    """Read the services of the links of one image, which came from a URL.

    Raises
    ------
    Missing
        The document says that there is no such image, or that it cannot be cut.
    Protocol
        This is no document of links.
    """
    root = parse(body, what="the links of an image")
    rows = list(_rows(root))
    services = [
        service for resource in descendants(root, "RESOURCE") for service in _services(resource, rows, url)
    ]
    if services:
        return services
    refused = next((row["error_message"] for row in rows if row.get("error_message")), None)
    raise Missing(refused or "the image's links name no service that cuts it", url=url)


def _services(resource: Element, rows: list[dict[str, str]], url: str) -> Iterator[CutoutService]:
    parameters = {each.get("name", ""): each.get("value", "") for each in descendants(resource, "PARAM")}
    if not parameters.get("standardID", "").lower().startswith(_CUTOUTS):
        return
    place = resolve(url, parameters.get("accessURL", ""))
    if place is None:
        raise Protocol("the links of an image name a service without a URL", url=url)
    # Where its parameter is to be taken from the rows, each of them names the image.
    identifier = parameters.get("ID") or next((row["ID"] for row in rows if row.get("ID")), "")
    yield CutoutService(url=place, identifier=identifier, detail=parameters.get("CUTOUTDETAIL") or None)


def _rows(root: Element) -> Iterator[dict[str, str]]:
    """Yield the rows of links, by the names of the columns."""
    for table in descendants(root, "TABLE"):
        names = [field.get("name", "") for field in descendants(table, "FIELD")]
        for row in descendants(table, "TR"):
            cells = ["".join(cell.itertext()).strip() for cell in descendants(row, "TD")]
            yield dict(zip(names, cells, strict=False))
