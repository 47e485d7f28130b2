"""A result as Parquet: a file in, Arrow record batches out.

Parquet keeps its index at its end, so the download is first spooled to a file. It has no way to say that the
result was cut off: the caller compares row counts.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.tap import columns
from photoz_assets.tap.columns import Array, ReceivedColumn, VOTableType
from photoz_assets.tap.errors import Protocol, TooLarge, Truncated

MAGIC: Final = b"PAR1"

_LARGEST_ROW_GROUP_BYTES: Final = 1 << 30
_KINDS: Final = {kind.arrow: kind for kind in VOTableType if kind is not VOTableType.UNICODE_CHAR}


def read(path: Path, schema: pa.Schema, *, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Read a result.

    Rubin's archive writes every text as a list of one text; that is undone.

    Parameters
    ----------
    path
        The spooled file.
    schema
        The columns that were asked for, matched as those of a VOTable.
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
        A row group of over 1 GiB, which would have to be held at once.
    """
    with path.open("rb") as file:
        file.seek(-len(MAGIC), 2)
        if file.read() != MAGIC:
            raise Truncated("the Parquet file ends early")
    try:
        yield from _batches(path, schema, batch_rows)
    except (pa.ArrowException, OSError) as error:
        raise Protocol(f"the Parquet file is broken: {error}") from error


def _batches(path: Path, schema: pa.Schema, batch_rows: int) -> Iterator[pa.RecordBatch]:
    """Yield the file's rows in the schema's order."""
    with pq.ParquetFile(path, pre_buffer=False, page_checksum_verification=True) as file:
        received = [_received(field) for field in file.schema_arrow]
        order = columns.match(schema, received)
        groups = file.metadata
        largest = max(
            (groups.row_group(group).total_byte_size for group in range(groups.num_row_groups)), default=0
        )
        if largest > _LARGEST_ROW_GROUP_BYTES:
            raise TooLarge(f"the Parquet file has a row group of {largest} bytes")
        for batch in file.iter_batches(batch_size=batch_rows):
            # Arrow takes a text's bytes as they come, whether or not they are one.
            batch.validate(full=True)
            yield columns.batch(schema, [_unwrapped(batch.column(index), received[index].name) for index in order])


def _received(field: "pa.Field[Any]") -> ReceivedColumn:
    """Describe a column for the comparison with the contract."""
    kind = field.type
    if pa.types.is_list(kind) and pa.types.is_string(kind.value_type):
        kind = kind.value_type
    return ReceivedColumn(name=field.name, kind=_KINDS.get(kind), announced=str(field.type))


def _unwrapped(array: Array, name: str) -> Array:
    """Take each text out of the list of one that it came in."""
    if not pa.types.is_list(array.type):
        return array
    if pc.unique(pc.list_value_length(array).drop_null()).to_pylist() not in ([], [1]):
        raise Protocol(f"column {name} has lists of other than one text")
    return pc.list_element(array, 0)
