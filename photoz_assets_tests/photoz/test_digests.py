"""A digest is of names, types, NULLs, values and their order, and of nothing else."""

import pyarrow as pa
import pytest

from photoz_assets.photoz.digests import rows_digest

TABLE = pa.table({"key": ["a", "bc", None], "number": pa.array([1.5, None, 0.0]), "flag": [True, False, None]})


def test_digest_does_not_see_how_rows_are_held() -> None:
    pieces = pa.concat_tables([TABLE.slice(0, 1), TABLE.slice(1)]).replace_schema_metadata({"made": "today"})
    assert rows_digest(pieces) == rows_digest(TABLE)


@pytest.mark.parametrize(
    "other",
    [
        TABLE.take([1, 0, 2]),
        TABLE.rename_columns(["key", "value", "flag"]),
        TABLE.set_column(0, "key", pa.array(["ab", "c", None])),
        TABLE.set_column(0, "key", pa.array(["a", "bc", ""])),
        TABLE.set_column(1, "number", pa.array([1.5, 0.0, 0.0])),
        TABLE.set_column(1, "number", pa.array([1.5, None, 0.0], pa.float32())),
        TABLE.slice(0, 2),
    ],
    ids=["order", "name", "texts", "empty text for NULL", "zero for NULL", "type", "a row less"],
)
def test_digest_tells_tables_apart(other: pa.Table) -> None:
    assert rows_digest(other) != rows_digest(TABLE)


def test_digest_is_pinned() -> None:
    assert rows_digest(TABLE) == "8a33d0c618b8dd4a93082f7fee1532b1174e6c758e9e1e3e98d70a37162b9aed"


def test_digest_of_a_part_is_that_of_its_rows() -> None:
    assert rows_digest(TABLE.slice(1)) == rows_digest(TABLE.take([1, 2]))
