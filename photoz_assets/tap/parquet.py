"""A result as Parquet: a file in, Arrow record batches out.

Parquet keeps its index at its end, so the download is first spooled to a file. It has no way of its own to say
that the result was cut off: the caller compares row counts. The VOTable that a VOParquet file carries may say it,
and what stands for NULL.

Some bytes of Parquet may stand for gigabytes of texts. A dictionary holds a text once for all rows: it is read as
one, and its texts are measured before they are copied. A delta has the beginning of a text in common with the one
before: few rows of such a column are read at a time.
"""

from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.tap import charset, columns, votable
from photoz_assets.tap.columns import Array, ReceivedColumn, VOTableType, WireField
from photoz_assets.tap.errors import Protocol, TooLarge, Truncated
from photoz_assets.tap.names import fold

MAGIC: Final = b"PAR1"
_VOTABLE_KEY: Final = b"IVOA.VOTable-Parquet.content"

_LARGEST_ROW_GROUP_BYTES: Final = 1 << 30
_LARGEST_TEXT_BYTES: Final = 1 << 20
_LARGEST_BATCH_BYTES: Final = 1 << 24
_LARGEST_DELTA_BYTES: Final = 1 << 26
# Encodings whose pages are no smaller than their texts.
_AT_LENGTH: Final = frozenset({"PLAIN", "RLE", "BIT_PACKED", "DELTA_LENGTH_BYTE_ARRAY"})
_DELTA: Final = "DELTA_BYTE_ARRAY"
_KINDS: Final = {
    kind.arrow: kind for kind in VOTableType if kind not in {VOTableType.UNICODE_CHAR, VOTableType.BIT}
}
# What no VOTable has, by what holds it without loss.
_KINDS_IN: Final = {pa.int8(): VOTableType.SHORT, pa.uint16(): VOTableType.INT, pa.uint32(): VOTableType.LONG}
Lengths = npt.NDArray[np.int64]
_TEXTS: Final = frozenset({pa.string(), pa.large_string(), pa.string_view()})


def read(path: Path, schema: pa.Schema, *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Read a result.

    Rubin's archive writes every text as a list of one text; that is undone.

    Parameters
    ----------
    path
        The spooled file.
    schema
        The columns that were asked for, matched as those of a VOTable. Texts in any of Arrow's forms, dictionaries
        and integers that no VOTable has are taken as what holds them without loss.
    batch_rows
        The most rows of a batch.

    Raises
    ------
    Truncated
        The file has no end.
    ContractViolation
        The columns are not those of the schema.
    Protocol
        The file is broken, or a text is a list of other than one.
    TooLarge
        A row group of over 1 GiB, which would have to be held at once, or a text of over 1 MiB.
    """
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        if file.read() != MAGIC:
            raise Truncated("the Parquet file ends early")
    try:
        yield from _batches(path, schema, batch_rows)
    except (pa.ArrowException, OSError, UnicodeError) as error:
        raise Protocol(f"the Parquet file is broken: {error}") from error


def _batches(path: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows in the schema's order."""
    with pq.ParquetFile(path, pre_buffer=False) as opened:
        described = _described(opened.metadata)
        received = [_received(field) for field in opened.schema_arrow]
        order = columns.match(schema, received)
        dictionaries, rows = _packed_texts(opened.metadata)
    with pq.ParquetFile(
        path, pre_buffer=False, page_checksum_verification=True, read_dictionary=dictionaries
    ) as file:
        for batch in file.iter_batches(batch_size=min(batch_rows, rows)):
            for part in _parts(batch):
                arrays = [_plain(part.column(index), received[index].name) for index in order]
                fields = [described.get(fold(received[index].name)) for index in order]
                yield columns.batch(schema, list(map(_without_nulls, arrays, fields)))


def _described(metadata: pq.FileMetaData) -> dict[str, WireField]:
    """Return the columns by their folded names as the VOTable in a VOParquet file has them (VOParquet 1.0).

    None are returned where there is no VOTable, or one that cannot be read: the rows do not depend on it.

    Raises
    ------
    Truncated
        The VOTable says that the table was cut off.
    ArchiveError
        It reports an error.
    """
    document = (metadata.metadata or {}).get(_VOTABLE_KEY)
    if document is None:
        return {}
    try:
        fields, is_cut_off = votable.describe(document)
    except (Protocol, Truncated):
        return {}
    if is_cut_off:
        raise Truncated(f"the archive cut the result off after {metadata.num_rows} rows (OVERFLOW)")
    return {fold(name): field for name, field in fields.items()}


def _packed_texts(metadata: pq.FileMetaData) -> tuple[list[str], int]:
    """Return the columns to read as dictionaries, and how many rows to read at once.

    Raises
    ------
    TooLarge
        A row group that cannot be held.
    Protocol
        A list of other than one text.
    """
    dictionaries: set[str] = set()
    deltas: set[str] = set()
    rows = _LARGEST_DELTA_BYTES
    for group in map(metadata.row_group, range(metadata.num_row_groups)):
        if group.total_byte_size > _LARGEST_ROW_GROUP_BYTES:
            raise TooLarge(f"the Parquet file has a row group of {group.total_byte_size} bytes")
        for chunk in map(group.column, range(group.num_columns)):
            if chunk.num_values > group.num_rows:
                raise Protocol(f"column {chunk.path_in_schema} has lists of other than one text")
            if _DELTA in chunk.encodings:
                deltas.add(chunk.path_in_schema)
                # No text is longer than all that is stored of them.
                rows = min(rows, max(1, _LARGEST_DELTA_BYTES // max(chunk.total_uncompressed_size, 1)))
            elif chunk.physical_type == "BYTE_ARRAY" and not _AT_LENGTH.issuperset(chunk.encodings):
                dictionaries.add(chunk.path_in_schema)
    # Arrow reads no delta as a dictionary.
    return sorted(dictionaries - deltas), rows


def _received(field: "pa.Field[Any]") -> ReceivedColumn:
    """Describe a column for the comparison with the contract."""
    kind = field.type
    if _is_list(kind) and _value_type(kind.value_type) in _TEXTS:
        kind = kind.value_type
    kind = _value_type(kind)
    kind = pa.string() if kind in _TEXTS else kind
    return ReceivedColumn(name=field.name, kind=_KINDS.get(kind) or _KINDS_IN.get(kind), announced=str(field.type))


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind))


def _value_type(kind: pa.DataType) -> pa.DataType:
    """Return the type of a dictionary's values; any other type as it is."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _parts(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    """Cut a batch where its texts, each of which is measured, would take too much.

    Raises
    ------
    TooLarge
        A text of an absurd length.
    """
    sizes = np.zeros(batch.num_rows, np.int64)
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        lengths = _lengths(column)
        if lengths is None:
            continue
        if len(lengths) and lengths.max() > _LARGEST_TEXT_BYTES:
            raise TooLarge(f"column {name} has a text of {lengths.max()} bytes")
        sizes += lengths
    parts = np.cumsum(sizes) // _LARGEST_BATCH_BYTES
    starts = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), batch.num_rows]
    for start, end in pairwise(starts):
        if end > start:
            yield batch.slice(start, end - start)


def _lengths(column: Array) -> Lengths | None:
    """Return the bytes of a column's texts, shape (rows,); None if it has none."""
    if _is_list(column.type):
        return _list_lengths(column)
    if pa.types.is_dictionary(column.type) and column.type.value_type in _TEXTS:
        of_values = _lengths(column.dictionary)
        return None if of_values is None else np.append(of_values, 0)[_places(column)]
    if column.type == pa.string_view():
        column = column.cast(pa.large_string())
    return _whole(pc.binary_length(column), 0) if column.type in _TEXTS else None


def _places(column: Array) -> Lengths:
    """Return where in its dictionary each text stands, shape (rows,); behind its end for NULL.

    Raises
    ------
    Protocol
        A text is not in the dictionary; Arrow does not look.
    """
    size = len(column.dictionary)
    found = pc.min_max(column.indices).as_py()
    if found["min"] is not None and not 0 <= found["min"] <= found["max"] < size:
        raise Protocol("the Parquet file is broken: it has texts that are not in their dictionary")
    return _whole(column.indices, size)


def _list_lengths(column: Array) -> Lengths | None:
    """Return the bytes of the texts of each of a column's lists, shape (rows,); None if it has none."""
    inner = _lengths(column.values)
    if inner is None:
        return None
    ends = np.concatenate([[0], np.cumsum(inner)])
    offsets = column.offsets.to_numpy()
    lengths: Lengths = ends[offsets[1:]] - ends[offsets[:-1]]
    return lengths


def _whole(numbers: Array, missing: int) -> Lengths:
    """Return integers with another in place of NULL, shape (rows,)."""
    return np.asarray(pc.fill_null(numbers.cast(pa.int64()), missing))


def _plain(array: Array, name: str) -> Array:
    """Make a column of a VOTable's type of one of Parquet's."""
    if _is_list(array.type):
        if pc.unique(pc.list_value_length(array).drop_null()).to_pylist() not in ([], [1]):
            raise Protocol(f"column {name} has lists of other than one text")
        array = pc.list_element(array, 0)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if array.type in _TEXTS:
        return _texts(array, name)
    # Arrow takes values as they come, whether or not they are some.
    array.validate(full=True)
    return array.cast(_KINDS_IN[array.type].arrow) if array.type in _KINDS_IN else array


def _without_nulls(array: Array, field: WireField | None) -> Array:
    """Return a column with NULL in place of what its description declares as such."""
    return columns.without(array, field.nulls) if field and field.kind.arrow == array.type else array


def _texts(array: Array, name: str) -> Array:
    """Make a column of texts, which must be UTF-8; labels need not."""
    try:
        array.validate(full=True)
    except pa.ArrowInvalid:
        if not columns.is_label(name):
            raise
        return charset.read_labels(array)
    return array.cast(pa.string())
