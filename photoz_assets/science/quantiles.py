"""Exact quantiles of a quantity: what is held is its values, once; a database's own aggregate holds them twice."""

import duckdb
import numpy as np

from photoz_assets.science.reading import batches


def quantiles(
    galaxies: duckdb.DuckDBPyRelation, sql: str, *shares: float, where: str = "TRUE"
) -> tuple[float | None, ...]:
    """Compute quantiles of a quantity over galaxies.

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
    values = np.empty(galaxies.count("*").fetchall()[0][0])
    found = 0
    known = galaxies.filter(where).project(f"({sql})::DOUBLE AS value").filter("value IS NOT NULL")
    for (batch,) in batches(known):
        values[found : found + len(batch)] = batch
        found += len(batch)
    if not found:
        return (None,) * len(shares)
    return tuple(np.quantile(values[:found], shares, overwrite_input=True).tolist())
