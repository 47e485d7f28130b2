"""The formats of a result: one table, from what a request may call a format to what writes it."""

import io
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from photoz_archive.service import votable
from photoz_archive.service.errors import BadRequestError, QueryFailedError
from photoz_archive.service.profile import Profile
from photoz_archive.service.stream import ResultWriter

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer as Buffer

_VOTABLE: Final = "application/x-votable+xml"
_STRUCTURAL: Final = "[\t\r\n]"


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format of results.

    ``names`` are what a request may write, the first being the MIME type that is declared; ``content_type``
    that of the answer.
    """

    names: tuple[str, ...]
    content_type: str
    extension: str
    ivo_id: str | None
    write: Callable[[ResultWriter, Profile], Iterator[bytes]]


def _binary2(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    return votable.write_binary2(stream, numbered=profile.numbered_field_ids)


def _binary(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    return votable.write_binary(stream, numbered=profile.numbered_field_ids)


def _tabledata(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    return votable.write_tabledata(stream, numbered=profile.numbered_field_ids)


class _Chunks(io.RawIOBase):
    """A file that keeps what is written to it until it is taken."""

    def __init__(self) -> None:
        super().__init__()
        self._parts: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: "Buffer") -> int:
        part = bytes(data)
        self._parts.append(part)
        return len(part)

    def take(self) -> bytes:
        taken = b"".join(self._parts)
        self._parts.clear()
        return taken


def _csv(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    """Write CSV (RFC 4180): texts and names stand in quotes."""
    del profile
    chunks = _Chunks()
    schema = pa.schema([field.arrow for field in stream.fields])
    with pa_csv.CSVWriter(pa.PythonFile(chunks, "w"), schema) as writer:
        for batch in stream.batches():
            writer.write_batch(batch)
            yield chunks.take()
    yield chunks.take()
    _require_whole(stream)


def _tsv(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    """Write text/tab-separated-values as IANA registers it: no quotes, so that a quote is a letter like others.

    Tabs and line breaks within a text cannot be expressed; a space stands for each.
    """
    del profile
    yield ("\t".join(re.sub(_STRUCTURAL, " ", field.name) for field in stream.fields) + "\n").encode()
    for batch in stream.batches():
        cells = [pc.fill_null(_tsv_text(column), "") for column in batch.columns]
        lines = pc.binary_join_element_wise(pc.binary_join_element_wise(*cells, "\t"), "\n", "")
        yield b"".join(pa.array(lines).cast(pa.binary()).to_pylist())
    _require_whole(stream)


def _tsv_text(column: pa.Array) -> pa.Array:
    if pa.types.is_string(column.type):
        return pc.replace_substring_regex(column, _STRUCTURAL, " ")
    return column.cast(pa.string())


def _require_whole(stream: ResultWriter) -> None:
    """Break off the answer of a query that failed under way, in a format that has no place for an error.

    Raises
    ------
    QueryFailedError
        It did; a broken transfer is better than a short table.
    """
    if stream.failure is not None:
        raise QueryFailedError(stream.failure)


def _parquet(stream: ResultWriter, profile: Profile) -> Iterator[bytes]:
    """Write Parquet with the VOTable header that VOParquet 1.0 puts into the file's metadata."""
    chunks = _Chunks()
    schema = pa.schema([_parquet_field(field.arrow, profile) for field in stream.fields])
    # Whether rows were cut off is known at the end only, and a stored Arrow schema would hide what comes after it.
    with pq.ParquetWriter(
        pa.PythonFile(chunks, "w"), schema, use_dictionary=False, store_schema=False, write_page_checksum=True
    ) as writer:
        for batch in stream.batches():
            columns = [
                _one_element_lists(column) if pa.types.is_list(field.type) else column
                for column, field in zip(batch.columns, schema, strict=True)
            ]
            writer.write_batch(pa.RecordBatch.from_arrays(columns, schema=schema))
            yield chunks.take()
        header = votable.header_document(
            stream.fields,
            numbered=profile.numbered_field_ids,
            overflow=stream.overflow and not profile.parquet_string_lists,
        )
        writer.add_key_value_metadata(
            {"IVOA.VOTable-Parquet.version": "1.0", "IVOA.VOTable-Parquet.content": header.decode()}
        )
        _require_whole(stream)
    yield chunks.take()


def _parquet_field(field: "pa.Field[pa.DataType]", profile: Profile) -> "pa.Field[pa.DataType]":
    if profile.parquet_string_lists and pa.types.is_string(field.type):
        return field.with_type(pa.list_(pa.string()))
    return field


def _one_element_lists(column: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(range(len(column) + 1), pa.int32()), column)


FORMATS: Final = {
    "binary2": Format(
        names=(
            f"{_VOTABLE};serialization=binary2",
            "votable/b2",
            "votable",
            _VOTABLE,
            "text/xml",
            "application/xml",
        ),
        content_type=f"{_VOTABLE};serialization=binary2",
        extension="xml",
        ivo_id="ivo://ivoa.net/std/TAPRegExt#output-votable-binary2",
        write=_binary2,
    ),
    "binary": Format(
        names=(f"{_VOTABLE};serialization=binary", "votable/b"),
        content_type=f"{_VOTABLE};serialization=binary",
        extension="xml",
        ivo_id="ivo://ivoa.net/std/TAPRegExt#output-votable-binary",
        write=_binary,
    ),
    "tabledata": Format(
        names=(f"{_VOTABLE};serialization=tabledata", "votable/td"),
        content_type=f"{_VOTABLE};serialization=tabledata",
        extension="xml",
        ivo_id="ivo://ivoa.net/std/TAPRegExt#output-votable-td",
        write=_tabledata,
    ),
    "csv": Format(
        names=("text/csv", "csv"),
        content_type="text/csv;header=present",
        extension="csv",
        ivo_id=None,
        write=_csv,
    ),
    "tsv": Format(
        names=("text/tab-separated-values", "tsv"),
        content_type="text/tab-separated-values",
        extension="tsv",
        ivo_id=None,
        write=_tsv,
    ),
    "parquet": Format(
        names=("application/vnd.apache.parquet", "parquet", "application/x-parquet"),
        content_type="application/vnd.apache.parquet",
        extension="parquet",
        ivo_id=None,
        write=_parquet,
    ),
}

_PLAIN_VOTABLE: Final = frozenset({"votable", _VOTABLE, "text/xml", "application/xml"})


def offered(profile: Profile) -> dict[str, Format]:
    """Return the formats that a service offers, by their keys."""
    keys = profile.offered_formats
    return {key: each for key, each in FORMATS.items() if keys is None or key in keys}


def find_format(name: str | None, profile: Profile) -> Format:
    """Return the format that a request calls ``name``, or the default.

    Raises
    ------
    BadRequestError
        There is no such format.
    """
    if name is None:
        return FORMATS[profile.default_format]
    wanted = name.lower().replace(" ", "")
    if wanted in _PLAIN_VOTABLE:
        return FORMATS[profile.default_format]
    for key, candidate in offered(profile).items():
        if wanted == candidate.content_type or wanted in candidate.names:
            return FORMATS["binary2"] if profile.votable_always_binary2 and key != "parquet" else candidate
    known = ", ".join(candidate.names[0] for candidate in offered(profile).values())
    raise BadRequestError(f"Unknown format {name!r}; expected one of {known}")
