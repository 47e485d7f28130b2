"""The sample: of all tracts held, the galaxies with the k smallest draws of each split.

A tract's file is in the order of draws, so that of each only its head is read, held against its checksums: memory
follows the sizes of the splits, not the number of tracts. A tract that is added displaces galaxies, and reshuffles
none.
"""

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from photoz_assets.lake.provenance import damage_errors
from photoz_assets.survey.sampling import SPLITS, Sampling
from photoz_assets.survey.table import Contract

# Draws are uniform: so many standard deviations more than what is expected are read at first, and rarely too few.
_DEVIATIONS: Final = 6


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Galaxies of ``photoz_sample``, in the order of split and draw.

    ``came`` is the number of galaxies of the splits' sizes, ``left_out`` that of those that another tract has too.
    """

    rows: pa.Table
    came: int
    left_out: Mapping[str, int]


def draw_sample(files: Mapping[int, Path], contract: Contract, sampling: Sampling) -> Sample:
    """Draw the sample of some tracts.

    Of the rows of a galaxy that two tracts have, the one of the lower object id counts.

    Parameters
    ----------
    files
        By tract, its ``photoz_galaxies``; they stay as they are meanwhile.
    contract
        That of ``photoz_sample``.
    sampling
        The sizes and the shares of the splits.

    Raises
    ------
    InvalidTableFileError
        A file is damaged.
    """
    total = sum(_number(path) for path in files.values())
    limits = {split: _likely_limit(total, sampling, split) for split in SPLITS}
    while True:
        heads = _heads(files, contract, limits)
        sets = [_smallest(heads, split, sampling.size(split)) for split in SPLITS]
        short = [
            split
            for split, found in zip(SPLITS, sets, strict=True)
            if limits[split] < 1 and found.num_rows < (sampling.size(split) or math.inf)
        ]
        if not short:
            break
        # Whole patches or tracts have other shares than galaxies.
        limits |= {split: min(1.0, 4 * limits[split]) for split in short}
    drawn = pa.concat_tables(sets)
    rows = _once(drawn)
    return Sample(
        rows=rows, came=drawn.num_rows, left_out={"of another tract too": drawn.num_rows - rows.num_rows}
    )


def _number(path: Path) -> int:
    with damage_errors(path):
        return int(pq.read_metadata(path).num_rows)


def _likely_limit(total: int, sampling: Sampling, split: str) -> float:
    """Return a draw below which a split most likely has its size, of all galaxies."""
    size, share = sampling.size(split), sampling.fractions[SPLITS.index(split)]
    if size is None or total == 0:
        return 1.0
    return min(1.0, (size + _DEVIATIONS * math.sqrt(size)) / (total * share))


def _heads(files: Mapping[int, Path], contract: Contract, limits: Mapping[str, float]) -> pa.Table:
    """Return the galaxies of each split whose draws lie below its limit, of all files; 1 is no limit."""
    heads = [contract.schema.empty_table()]
    for tract in sorted(files):
        for group in _row_groups(files[tract], max(limits.values())):
            rows = group.filter(_below(group, limits))
            tracts = pa.repeat(pa.scalar(tract, contract.schema.field("tract").type), rows.num_rows)
            heads.append(rows.append_column("tract", tracts).select(contract.names).cast(contract.schema))
    return pa.concat_tables(heads)


def _below(group: pa.Table, limits: Mapping[str, float]) -> pa.ChunkedArray:
    """Return which galaxies have a draw below their split's limit: an expression would be run by threads."""
    split, draw = group.column("split"), group.column("draw")
    below = (pc.and_(pc.equal(split, name), pc.less(draw, limit)) for name, limit in limits.items())
    return functools.reduce(pc.or_, below)


def _row_groups(path: Path, limit: float) -> Iterator[pa.Table]:
    """Yield the row groups of a file that begin with a draw below a limit."""
    with damage_errors(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        draw = file.schema_arrow.get_field_index("draw")
        for group in range(file.num_row_groups):
            if file.metadata.row_group(group).column(draw).statistics.min >= limit:
                break
            yield file.read_row_group(group)


def _smallest(heads: pa.Table, split: str, size: int | None) -> pa.Table:
    """Return the galaxies of a split with the smallest draws, ascending; without a size, all of them."""
    rows = heads.filter(pc.equal(heads.column("split"), split))
    order = pc.sort_indices(
        rows.select(["draw", "object_id"]), [("draw", "ascending"), ("object_id", "ascending")]
    )
    return rows.take(order.slice(0, size))


def _once(drawn: pa.Table) -> pa.Table:
    """Return each galaxy once: of those with one key, the one with the lowest object id."""
    first = drawn.group_by("source_key").aggregate([("object_id", "min")])
    return drawn.filter(pc.is_in(drawn.column("object_id"), first.column("object_id_min").combine_chunks()))
