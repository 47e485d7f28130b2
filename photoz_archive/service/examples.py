"""Example queries as DALI 1.1 has them: a page for people, from which clients take the queries."""

from dataclasses import dataclass
from typing import Final
from xml.etree import ElementTree as ET

_VOCABULARY: Final = "http://www.ivoa.net/rdf/examples#"
_SCHEMA: Final = "dp02_dc2_catalogs"


@dataclass(frozen=True)
class Example:
    """A query under a name, and what it is for."""

    identifier: str
    name: str
    about: str
    query: str


EXAMPLES: Final = (
    Example(
        "tables",
        "What there is",
        "Every table with its description.",
        "SELECT table_name, description FROM tap_schema.tables ORDER BY table_name",
    ),
    Example(
        "cone",
        "Objects around a position",
        "Primary objects within six arcminutes, with their r and i fluxes in nJy.",
        "SELECT objectId, coord_ra, coord_dec, r_cModelFlux, r_cModelFluxErr, i_cModelFlux, i_cModelFluxErr\n"
        f"FROM {_SCHEMA}.Object\n"
        "WHERE CONTAINS(POINT('ICRS', coord_ra, coord_dec), CIRCLE('ICRS', 62, -37, 0.1)) = 1\n"
        "AND detect_isPrimary = 1",
    ),
    Example(
        "photo-z",
        "Galaxies with their redshifts",
        "True galaxies of a tract beside the objects that they were measured as: a training set.",
        "SELECT ts.redshift, obj.coord_ra, obj.coord_dec, obj.g_cModelFlux, obj.r_cModelFlux, obj.i_cModelFlux\n"
        f"FROM {_SCHEMA}.MatchesTruth AS mt\n"
        f"JOIN {_SCHEMA}.TruthSummary AS ts ON mt.id_truth_type = ts.id_truth_type\n"
        f"JOIN {_SCHEMA}.Object AS obj ON mt.match_objectId = obj.objectId\n"
        "WHERE obj.tract = 3638 AND obj.detect_isPrimary = 1 AND ts.truth_type = 1",
    ),
    Example(
        "patches",
        "How many objects a patch has",
        "Counts and mean positions, patch by patch.",
        "SELECT patch, COUNT(*) AS num, AVG(coord_ra) AS mean_ra, AVG(coord_dec) AS mean_dec\n"
        f"FROM {_SCHEMA}.Object WHERE tract = 3638 GROUP BY patch",
    ),
)


def examples_document() -> bytes:
    """Write the page, as XHTML with RDFa (DALI 1.1 sec. 2.3)."""
    page = ET.Element("html", xmlns="http://www.w3.org/1999/xhtml")
    ET.SubElement(ET.SubElement(page, "head"), "title").text = "Examples"
    body = ET.SubElement(page, "body", vocab=_VOCABULARY)
    for example in EXAMPLES:
        identity = {"id": example.identifier, "resource": f"#{example.identifier}", "typeof": "example"}
        part = ET.SubElement(body, "div", identity)
        ET.SubElement(part, "h2", property="name").text = example.name
        ET.SubElement(part, "p").text = example.about
        ET.SubElement(part, "pre", property="query").text = example.query
    return bytes(ET.tostring(page, encoding="utf-8", xml_declaration=True))
