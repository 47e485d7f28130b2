import pytest

from photoz_assets.tap.links import resolve

BASE = "http://a/b/c/d;p?q"

# RFC 3986 sec. 5.4, but for what is no http URL.
EXAMPLES = {
    "g": "http://a/b/c/g",
    "./g": "http://a/b/c/g",
    "g/": "http://a/b/c/g/",
    "/g": "http://a/g",
    "//g": "http://g",
    "?y": "http://a/b/c/d;p?y",
    "g?y": "http://a/b/c/g?y",
    "#s": "http://a/b/c/d;p?q#s",
    "g?y#s": "http://a/b/c/g?y#s",
    ";x": "http://a/b/c/;x",
    "g;x?y#s": "http://a/b/c/g;x?y#s",
    ".": "http://a/b/c/",
    "./": "http://a/b/c/",
    "..": "http://a/b/",
    "../g": "http://a/b/g",
    "../..": "http://a/",
    "../../g": "http://a/g",
    "../../../g": "http://a/g",
    "/./g": "http://a/g",
    "/../g": "http://a/g",
    "g.": "http://a/b/c/g.",
    "..g": "http://a/b/c/..g",
    "./../g": "http://a/b/g",
    "./g/.": "http://a/b/c/g/",
    "g/./h": "http://a/b/c/g/h",
    "g/../h": "http://a/b/c/h",
    "g;x=1/../y": "http://a/b/c/y",
    "g?y/../x": "http://a/b/c/g?y/../x",
}


@pytest.mark.parametrize("reference", EXAMPLES)
def test_link_is_resolved_as_the_standard_has_it(reference: str) -> None:
    assert resolve(BASE, reference) == EXAMPLES[reference]


@pytest.mark.parametrize(
    ("base", "reference", "url"),
    [
        ("http://a/tap//async/21", "./21/results/result", "http://a/tap//async/21/results/result"),
        ("http://a//tap/21", "22", "http://a//tap/22"),
        ("https://a/tap/21", "//b:8080/r", "https://b:8080/r"),
        ("http://a", "r", "http://a/r"),
        ("http://a/b", "https://c/d//../e", "https://c/d/e"),
        ("http://a/b", " \n\t http://c/tap/\n   r \n", "http://c/tap/r"),
        ("http://a/b", "a name", "http://a/a name"),
    ],
)
def test_link_of_a_service_is_resolved(base: str, reference: str, url: str) -> None:
    assert resolve(base, reference) == url


@pytest.mark.parametrize(
    "reference", ["", " ", "ftp://a/b", "file:///etc/passwd", "http://", "http://[::1", "http://a:b/"]
)
def test_link_that_is_none_is_none(reference: str) -> None:
    assert resolve(BASE, reference) is None
