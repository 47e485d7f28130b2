"""The metadata of a stored file, by which TOPCAT, STILTS, astropy and Arrow show units, UCDs and sizes.

The VOTable header is that of VOParquet (IVOA Note "VOParquet" 1.0).
"""

import base64
from collections.abc import Mapping
from typing import Final
from xml.etree import ElementTree as ET

import pyarrow as pa

from photoz_assets.lake.provenance import PROVENANCE_KEY, Provenance
from photoz_assets.survey.table import Column, Contract

# The Arrow schema, as Arrow's own writer keeps it: its IPC message in base64.
_ARROW_SCHEMA_KEY: Final = "ARROW:schema"
# Where astropy looks for the size of a column of texts; without it, it warns.
_ASTROPY_LENGTH_KEY: Final = "table::len::"
_VOTABLE_KEY: Final = b"IVOA.VOTable-Parquet.content"
_VOTABLE_VERSION_KEY: Final = b"IVOA.VOTable-Parquet.version"
_VOTABLE_NAMESPACE: Final = "http://www.ivoa.net/xml/VOTable/v1.3"

_VOTABLE_TYPES: Final[Mapping[pa.DataType, str]] = {
    pa.bool_(): "boolean",
    pa.int32(): "int",
    pa.int64(): "long",
    pa.float32(): "float",
    pa.float64(): "double",
    pa.string(): "char",
    pa.list_(pa.int64()): "long",
    pa.list_(pa.float32()): "float",
    pa.list_(pa.float64()): "double",
}


def file_metadata(contract: Contract, provenance: Provenance, lengths: Mapping[str, int]) -> dict[str, str]:
    """Return the key-value metadata of a stored Parquet file.

    ``lengths`` gives each text column's longest value in characters: astropy wants texts of a fixed size.
    """
    sizes = {f"{_ASTROPY_LENGTH_KEY}{name}": str(max(length, 1)) for name, length in lengths.items()}
    schema = contract.schema.with_metadata(sizes)
    return {
        _ARROW_SCHEMA_KEY: base64.b64encode(schema.serialize()).decode(),
        PROVENANCE_KEY.decode(): provenance.to_json(),
        _VOTABLE_VERSION_KEY.decode(): "1.0",
        _VOTABLE_KEY.decode(): _votable_header(contract, provenance, lengths),
    }


def _votable_header(contract: Contract, provenance: Provenance, lengths: Mapping[str, int]) -> str:
    """Describe the columns as a VOTable without data (VOTable 1.4 sec. 4; VOParquet sec. 2)."""
    root = ET.Element("VOTABLE", {"version": "1.4", "xmlns": _VOTABLE_NAMESPACE})
    resource = ET.SubElement(root, "RESOURCE", {"type": "results"})
    if provenance.archive is not None:
        ET.SubElement(resource, "DESCRIPTION").text = provenance.archive.label
    elif provenance.repository is not None:
        ET.SubElement(resource, "DESCRIPTION").text = provenance.repository
    for name in ("rights", "citation"):
        if value := getattr(provenance, name):
            # As the IVOA Note "Data Origin in the VO" 1.1 names them.
            ET.SubElement(resource, "INFO", {"name": name, "value": value})
    table = ET.SubElement(resource, "TABLE", {"name": contract.table})
    if provenance.rows_stored is not None:
        table.set("nrows", str(provenance.rows_stored))
    for column in contract:
        _votable_field(table, column, lengths.get(column.name))
    return ET.tostring(root, encoding="unicode")


def _votable_field(table: ET.Element, column: Column, length: int | None) -> None:
    attributes = {"name": column.name, "datatype": _VOTABLE_TYPES[column.type]}
    if length is not None:
        attributes["arraysize"] = str(max(length, 1))
    elif pa.types.is_list(column.type):
        attributes["arraysize"] = "*"
    attributes |= {key: value for key, value in (("unit", column.unit), ("ucd", column.ucd)) if value}
    element = ET.SubElement(table, "FIELD", attributes)
    ET.SubElement(element, "DESCRIPTION").text = column.description
