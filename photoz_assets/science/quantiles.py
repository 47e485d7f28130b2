"""Exact quantiles of a quantity.

The values are kept in memory once; DuckDB's own aggregate keeps them twice.
"""

import duckdb
import numpy as np

from photoz_assets.science.reading import batches


def quantiles(
    galaxies: duckdb.DuckDBPyRelation, sql: str, *shares: float, where: str = "TRUE"
) -> tuple[float | None, ...]:
    """Return quantiles of a quantity over galaxies.

    Parameters
    ----------
    galaxies
        With the columns that the SQL names.
    sql
        The quantity; galaxies for which it is NULL do not count.
    shares
        Of the galaxies that lie below each quantile, from 0 to 1.
    where
        In SQL, which galaxies count.

    Returns
    -------
    tuple[float | None, ...]
        For each share its quantile, linear between the two values beside it; None if no galaxy counts.
    """
    known = galaxies.filter(where).project(f"({sql})::DOUBLE AS value").filter("value IS NOT NULL")
    # Grown and not counted beforehand: a file may be replaced between two queries.
    stored = bytearray()
    for (batch,) in batches(known):
        stored += batch.tobytes()
    if not stored:
        return (None,) * len(shares)
    values = np.frombuffer(stored)
    places = np.array(shares) * (len(values) - 1)
    below, above = np.floor(places).astype(np.intp), np.ceil(places).astype(np.intp)
    values.partition([*below, *above])
    low, high = values[below], values[above]
    # Equal values have no gap, though the difference of infinite ones is no number.
    gap = np.subtract(high, low, out=np.zeros_like(low), where=low != high)
    return tuple((low + (places - below) * gap).tolist())
