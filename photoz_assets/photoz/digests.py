"""Digests of rows: equal for equal rows in one order, whatever file, engine or version they went through."""

import hashlib

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def rows_digest(table: pa.Table) -> str:
    """Return the SHA-256 of a table's names, types, NULLs and values, column by column, rows in order."""
    digest = hashlib.sha256()
    for name, column in zip(table.column_names, table.columns, strict=True):
        digest.update(f"{name} {column.type} {len(column)}\n".encode())
        digest.update(pc.is_null(column).to_numpy().tobytes())
        digest.update(_values(column))
    return digest.hexdigest()


def _values(column: pa.ChunkedArray) -> bytes:
    if pa.types.is_string(column.type):
        # With their lengths, no two columns of texts look alike.
        texts = column.fill_null("")
        measured = pc.binary_join_element_wise(pc.utf8_length(texts).cast(pa.string()), texts, ":")
        # The texts of an array lie one after the other.
        return b"".join(chunk.buffers()[-1] or b"" for chunk in measured.chunks)
    if pa.types.is_list(column.type):
        lengths: npt.NDArray[np.int32] = pc.list_value_length(column).fill_null(0).to_numpy()
        return lengths.tobytes() + _values(pc.list_flatten(column))
    values: npt.NDArray[np.generic] = column.fill_null(pa.scalar(0).cast(column.type)).to_numpy()
    return np.ascontiguousarray(values).tobytes()
