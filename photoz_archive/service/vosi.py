"""The VOSI documents: capabilities, availability and tables.

Nothing is declared that the profile does not offer.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal

from pydantic import AnyUrl
from pydantic_xml import BaseXmlModel
from vo_models.tapregext.models import (
    DataLimit,
    DataLimits,
    DataModelType,
    Language,
    LanguageFeature,
    LanguageFeatureList,
    OutputFormat,
    TableAccess,
    TimeLimits,
    UploadMethod,
    Version,
)
from vo_models.vodataservice.models import DataType, FKColumn, ParamHTTP, Table, TableParam, TableSchema
from vo_models.vodataservice.models import ForeignKey as ForeignKeyElement
from vo_models.voresource.models import AccessURL, Capability, WebBrowser
from vo_models.voresource.types import UTCTimestamp
from vo_models.vosi.availability.models import Availability
from vo_models.vosi.capabilities.models import VOSICapabilities
from vo_models.vosi.tables.models import VOSITable, VOSITableSet

from photoz_archive.adql.catalog import ColumnFacts, TableFacts
from photoz_archive.adql.functions import FUNCTIONS, Function, FunctionKind
from photoz_archive.service.formats import offered
from photoz_archive.service.jobs import RETENTION
from photoz_archive.service.official import ForeignKey
from photoz_archive.service.profile import Profile
from photoz_archive.service.schema import ArchiveSchema

SODA_SYNC: Final = "ivo://ivoa.net/std/SODA#sync-1.0"
DATALINK: Final = "ivo://ivoa.net/std/DataLink#links-1.1"

_FEATURES: Final = "ivo://ivoa.net/std/TAPRegExt#features-"
_UPLOADS: Final = tuple(f"ivo://ivoa.net/std/TAPRegExt#upload-{way}" for way in ("inline", "http", "https"))
_STRING_AND_SYNTAX: Final = {
    "adql-string": ("LOWER", "UPPER", "ILIKE"),
    "adql-type": ("CAST",),
    "adql-offset": ("OFFSET",),
}
_NEEDS_SUBQUERIES: Final = {"adql-sets": ("UNION", "EXCEPT", "INTERSECT"), "adql-common-table": ("WITH",)}


def capabilities_document(base_url: str, profile: Profile, images: Mapping[str, str]) -> bytes:
    """Write the capabilities of the TAP service at ``base_url``, and of images' services by their standards."""
    vosi = {
        f"ivo://ivoa.net/std/VOSI#{name}": f"{base_url}/{name}"
        for name in ("capabilities", "availability", "tables")
    }
    document = VOSICapabilities(
        capability=[
            _table_access(base_url, profile),
            *(
                Capability(standard_id=AnyUrl(name), interface=[_interface(url, "full")])
                for name, url in (vosi | dict(images)).items()
            ),
            Capability(
                standard_id=AnyUrl("ivo://ivoa.net/std/DALI#examples"),
                interface=[WebBrowser(access_url=[AccessURL(value=AnyUrl(f"{base_url}/examples"), use="full")])],
            ),
        ]
    )
    return _bytes(document)


def cutout_capabilities_document(url: str) -> bytes:
    """Write the capabilities of the service of cutouts whose ``sync`` is at a URL."""
    here = url.rpartition("/")[0] + "/capabilities"
    urls = {SODA_SYNC: url, "ivo://ivoa.net/std/VOSI#capabilities": here}
    capabilities = [
        Capability(standard_id=AnyUrl(name), interface=[_interface(at, "full")]) for name, at in urls.items()
    ]
    return _bytes(VOSICapabilities(capability=capabilities))


def availability_document(up_since: datetime, note: str) -> bytes:
    """Write that the service is up, since when, and a note."""
    return _bytes(
        Availability(available=True, up_since=UTCTimestamp.fromisoformat(up_since.isoformat()), note=[note])
    )


def tables_document(schema: ArchiveSchema) -> bytes:
    """Write all tables with their columns."""
    schemas = [
        TableSchema(
            schema_name=name,
            description=description,
            table=[Table(**_table(t, schema.keys)) for t in schema.catalog.tables if t.schema == name],
        )
        for name, description in schema.descriptions.items()
    ]
    return _bytes(VOSITableSet(tableset_schema=schemas))


def table_document(table: TableFacts, schema: ArchiveSchema) -> bytes:
    """Write one table with its columns and the joins that it declares."""
    return _bytes(VOSITable(**_table(table, schema.keys)))


def _table_access(base_url: str, profile: Profile) -> TableAccess:
    seconds = profile.execution_limit_seconds
    retention = int(RETENTION.total_seconds())
    return TableAccess(
        interface=[_interface(base_url, "base", role="std", version="1.1")],
        data_model=[DataModelType(value="ObsCore-1.1", ivo_id="ivo://ivoa.net/std/ObsCore#core-1.1")],
        language=[
            Language(
                name="ADQL",
                version=[
                    Version(value="2.0", ivo_id="ivo://ivoa.net/std/ADQL#v2.0"),
                    Version(value="2.1", ivo_id="ivo://ivoa.net/std/ADQL#v2.1"),
                ],
                description="ADQL with the functions and regions listed here",
                language_features=_language_features(profile),
            )
        ],
        output_format=[
            OutputFormat(mime=f.names[0], alias=list(f.names[1:]), ivo_id=f.ivo_id)
            for f in offered(profile).values()
        ],
        upload_method=[UploadMethod(ivo_id=way) for way in _UPLOADS if profile.upload_bytes],
        retention_period=TimeLimits(default=retention, hard=retention),
        execution_duration=TimeLimits(default=seconds, hard=seconds),
        output_limit=DataLimits(
            default=DataLimit(value=profile.default_maxrec, unit="row"),
            hard=DataLimit(value=profile.hard_maxrec, unit="row"),
        ),
        upload_limit=_upload_limit(profile.upload_bytes) if profile.upload_bytes else None,
    )


def _upload_limit(most_bytes: int) -> DataLimits:
    limit = DataLimit(value=most_bytes, unit="byte")
    return DataLimits(default=limit, hard=limit)


def _language_features(profile: Profile) -> list[LanguageFeatureList]:
    syntax = _STRING_AND_SYNTAX | (_NEEDS_SUBQUERIES if profile.subqueries else {})
    features = [
        LanguageFeatureList(type=f"{_FEATURES}{name}", feature=[LanguageFeature(form=form) for form in forms])
        for name, forms in syntax.items()
    ]
    geometry = [LanguageFeature(form=f.name) for f in _functions(FunctionKind.GEOMETRY)]
    features.insert(0, LanguageFeatureList(type=f"{_FEATURES}adqlgeo", feature=geometry))
    if profile.scisql:
        declared = [
            LanguageFeature(form=f"{f.signature} -> {_result_type(f)}", description=f.description)
            for f in _functions(FunctionKind.SCISQL)
        ]
        features.insert(0, LanguageFeatureList(type=f"{_FEATURES}udf", feature=declared))
    return features


def _functions(kind: FunctionKind) -> Iterable[Function]:
    return (function for function in FUNCTIONS.values() if function.kind is kind)


def _result_type(function: Function) -> str:
    return "INTEGER" if function.predicate else "DOUBLE"


def _interface(
    url: str, use: Literal["full", "base"], *, role: str | None = None, version: str | None = None
) -> ParamHTTP:
    return ParamHTTP(access_url=[AccessURL(value=AnyUrl(url), use=use)], role=role, version=version)


def _table(table: TableFacts, keys: Iterable[ForeignKey]) -> dict[str, Any]:
    return {
        "table_type": "table",
        "table_name": table.qualified_name,
        "description": table.description,
        "column": [
            TableParam(
                column_name=column.name,
                description=column.description or "",
                unit=column.unit or "",
                ucd=column.ucd or "",
                utype=column.utype or "",
                datatype=DataType(value=column.datatype, arraysize=column.arraysize),
                flag=_flags(column),
            )
            for column in table.columns
        ],
        "foreign_key": [
            ForeignKeyElement(
                target_table=key.target_table,
                fk_column=[FKColumn(from_column=source, target_column=target) for source, target in key.columns],
                description=key.description,
            )
            for key in keys
            if key.from_table == table.qualified_name
        ],
    }


def _flags(column: ColumnFacts) -> list[str]:
    return [name for name in ("principal", "indexed", "std") if getattr(column, name)]


def _bytes(document: BaseXmlModel) -> bytes:
    written = document.to_xml(skip_empty=True, encoding="UTF-8", xml_declaration=True)
    return written.encode() if isinstance(written, str) else bytes(written)
