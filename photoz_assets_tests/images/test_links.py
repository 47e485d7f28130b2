"""The links of an image: which services cut it, and by which name it has to be called."""

import pytest

from photoz_assets.images.links import CutoutService, cutout_services
from photoz_assets.tap.errors import Missing, Protocol

LINKS = """<VOTABLE xmlns="http://www.ivoa.net/xml/VOTable/v1.3"><RESOURCE type="results"><TABLE>
<FIELD name="ID"/><FIELD name="error_message"/>
<DATA><TABLEDATA><TR><TD>ivo://a?1</TD><TD>{error}</TD></TR></TABLEDATA></DATA></TABLE></RESOURCE>{services}</VOTABLE>"""
SERVICE = """<RESOURCE type="meta" utype="adhoc:service"><PARAM name="standardID" value="{standard}"/>
<PARAM name="accessURL" value="{url}"/><GROUP><PARAM name="ID" value="{id}"/>{more}</GROUP></RESOURCE>"""
SODA = "ivo://ivoa.net/std/SODA#sync-1.0"
URL = "https://example.org/links"


def service(standard: str = SODA, url: str = "/cut", identifier: str = "", more: str = "") -> str:
    return SERVICE.format(standard=standard, url=url, id=identifier, more=more)


def test_service_is_found_among_others_with_its_detail_and_the_images_name() -> None:
    detail = '<PARAM name="CUTOUTDETAIL" value="Exposure"/>'
    services = service("ivo://ivoa.net/std/SODA#async-1.0") + service(identifier="b", more=detail) + service()
    found = cutout_services(LINKS.format(error="", services=services).encode(), URL)
    assert found == [
        CutoutService(url="https://example.org/cut", identifier="b", detail="Exposure"),
        CutoutService(url="https://example.org/cut", identifier="ivo://a?1", detail=None),
    ]


@pytest.mark.parametrize(
    ("document", "kind", "words"),
    [
        (LINKS.format(error="NotFoundFault: gone", services=""), Missing, "NotFoundFault: gone"),
        (LINKS.format(error="", services=""), Missing, "no service that cuts it"),
        (LINKS.format(error="", services=service(url="")), Protocol, "a service without a URL"),
        ("<html>Sign in</html>", Protocol, "a web page came in place of the links of an image"),
    ],
)
def test_links_that_lead_nowhere_say_why(document: str, kind: type[Exception], words: str) -> None:
    with pytest.raises(kind, match=words):
        cutout_services(document.encode(), URL)
