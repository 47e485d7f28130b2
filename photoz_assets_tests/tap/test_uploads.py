"""Tables that are sent along, read by astropy as what they were."""

import io

import numpy as np
import pyarrow as pa
import pytest
from astropy.io.votable import parse_single_table

from photoz_assets.tap.uploads import MOST_BYTES, Upload, most_rows


def positions(rows: int) -> pa.Table:
    rng = np.random.default_rng(1)
    columns = {"id": np.arange(rows), "ra": rng.uniform(0, 360, rows), "dec": rng.uniform(-90, 90, rows)}
    return pa.table(columns)


@pytest.mark.parametrize("rows", [0, 1, 1000])
def test_upload_is_read_by_astropy_to_the_last_digit(rows: int) -> None:
    table = positions(rows)
    upload = Upload("mine", table)
    read = parse_single_table(io.BytesIO(upload.document)).to_table()
    assert read.colnames == ["id", "ra", "dec"]
    for name in read.colnames:
        np.testing.assert_array_equal(np.asarray(read[name]), table.column(name).to_numpy())
    assert upload.parameter == "mine,param:mine"


def test_as_many_rows_as_fit_a_request_fit_it() -> None:
    rows = most_rows(3)
    assert rows > 900_000
    empty = len(Upload("mine", positions(0)).document)
    one_row = len(Upload("mine", positions(3000)).document) - empty
    assert empty + one_row / 3000 * rows < MOST_BYTES


def test_another_table_is_another_digest() -> None:
    assert Upload("mine", positions(3)).digest != Upload("mine", positions(4)).digest


@pytest.mark.parametrize("column", [pa.array(["a"]), pa.array([1.0, None])])
def test_what_cannot_be_sent_is_refused(column: "pa.Array[object]") -> None:
    with pytest.raises(ValueError, match="mine: cannot send wrong"):
        Upload("mine", pa.table({"wrong": column}))
