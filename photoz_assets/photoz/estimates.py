"""Redshifts by fitted models, as rows: those of the test set, held against known ones, and those of all galaxies.

Galaxies go through in batches: p(z) and features are in memory for one of them at a time.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from photoz_assets.errors import PhotozError
from photoz_assets.photoz.estimators.estimator import (
    FINE_QUANTILE_LEVELS,
    QUANTILE_LEVELS,
    Estimates,
    Features,
    Numbers,
    Rows,
    estimate,
)
from photoz_assets.photoz.features import features_of, features_sql, have_all
from photoz_assets.photoz.galaxies import photometry_values
from photoz_assets.photoz.metrics import neighbour_weights
from photoz_assets.photoz.model import FittedModel
from photoz_assets.survey.contracts.redshifts import DEGRADED, REPRESENTATIVE
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.sampling import SPLITS
from photoz_assets.survey.table import Contract

# Some 200 bytes each, and as much again for the search of those near them.
_BATCH_ROWS: Final = 65_536
_MEDIAN: Final = 0.5
_FEATURE: Final = "feature_"


class OtherPhotometryError(PhotozError):
    """A model was fitted to another kind of fluxes than the galaxies have."""


def judged_estimates(
    sample: duckdb.DuckDBPyRelation,
    models: Mapping[str, FittedModel],
    contract: Contract,
    objects: Features | None = None,
) -> pa.Table:
    """Estimate the redshifts of a sample's test set.

    Parameters
    ----------
    sample
        Rows of ``photoz_sample``.
    models
        By what they were fitted to; the degraded one may be missing.
    contract
        That of ``photoz_estimates``.
    objects
        Features of objects, with a known redshift or without, that the test set is to stand for by weights; None
        if it stands for itself.

    Returns
    -------
    pyarrow.Table
        In the order of the sample.
    """
    model, degraded = models[REPRESENTATIVE], models.get(DEGRADED)
    rows = _with_features(
        sample.filter(f"split = '{SPLITS[-1]}'").order("draw, object_id"), model
    ).to_arrow_table()
    columns = {name: rows.column(name).combine_chunks() for name in rows.column_names}
    redshift = columns["redshift"].to_numpy(zero_copy_only=False).astype(np.float64)
    found = _estimated(model, columns, FINE_QUANTILE_LEVELS, redshift)
    quantiles = found.pop("quantiles")
    values: dict[str, Any] = columns | found | _summary(FINE_QUANTILE_LEVELS, quantiles)
    values["z_quantiles"] = _lists(quantiles)
    nothing = np.full(len(redshift), np.nan)
    beside = {"z_mode": nothing, "pit": nothing, "cde_loss": nothing, "z_median": nothing}
    if degraded is not None:
        beside = _estimated(degraded, columns, (_MEDIAN,), redshift)
        beside["z_median"] = beside["quantiles"][:, 0]
    values |= {f"degraded_{name}": beside[name] for name in ("z_median", "z_mode", "pit", "cde_loss")}
    values["weight"] = _weights(model, columns, objects)
    return pa.table([_array(values[field.name], field.type) for field in contract.schema], schema=contract.schema)


def catalog_rows(
    galaxies: duckdb.DuckDBPyRelation, columns: GalaxyColumns, model: FittedModel, contract: Contract
) -> Iterator[pa.RecordBatch]:
    """Estimate the redshifts of all galaxies, or objects, of a table; those trained on by what was learnt without.

    Parameters
    ----------
    galaxies
        Rows with a release's columns of objects: id, position, fluxes and their errors.
    columns
        Their roles; no known redshift is asked for.
    model
        By which.
    contract
        That of ``photoz_catalog``.

    Yields
    ------
    pyarrow.RecordBatch
        In the order of the galaxies.

    Raises
    ------
    OtherPhotometryError
        The model is of another kind of fluxes.
    """
    kind = columns.photometry.kind
    if model.facts.photometry != kind:
        raise OtherPhotometryError(
            f"the model was fitted to {model.facts.photometry} fluxes, and these are {kind}: fit it again"
        )
    for batch in _with_features(_photometry(galaxies, columns), model).to_arrow_reader(_BATCH_ROWS):
        arrays = dict(zip(batch.schema.names, batch.columns, strict=True))
        found = _estimated(model, arrays, QUANTILE_LEVELS)
        values = arrays | found | _summary(QUANTILE_LEVELS, found["quantiles"])
        yield pa.record_batch(
            [_array(values[field.name], field.type) for field in contract.schema], schema=contract.schema
        )


def features_of_objects(
    objects: duckdb.DuckDBPyRelation, columns: GalaxyColumns, model: FittedModel, *, most: int
) -> Features:
    """Return the features of some objects that have all, chosen by a hash of their ids.

    Parameters
    ----------
    objects, columns, model
        As ``catalog_rows`` takes them.
    most
        About how many.
    """
    [(number,)] = objects.aggregate("count(*)").fetchall()
    share = min(1.0, most / max(number, 1))
    chosen = objects.filter(f"md5_number_upper(CAST({columns.object_id} AS VARCHAR)) / {2.0**64!r} < {share!r}")
    rows = _with_features(_photometry(chosen, columns), model).to_arrow_table()
    features = _features({name: rows.column(name).combine_chunks() for name in rows.column_names}, model)
    return features[have_all(features)]


def _weights(model: FittedModel, columns: Mapping[str, pa.Array], objects: Features | None) -> NDArray[np.float64]:
    """Return how many objects each galaxy stands for, by the features of its coverage; NaN where unknown."""
    features = _features(columns, model)
    weights = np.full(len(features), np.nan)
    if objects is not None:
        known, like = have_all(features), model.coverage.arrays["columns"]
        weights[known] = neighbour_weights(features[known][:, like], objects[:, like])
    return weights


def _photometry(objects: duckdb.DuckDBPyRelation, columns: GalaxyColumns) -> duckdb.DuckDBPyRelation:
    """Return objects as rows with id, position and magnitudes, under the names that ``photoz_galaxies`` has."""
    ra, dec = columns.position
    known = {"object_id": columns.object_id, "ra": ra, "dec": dec}
    selected = [f'{sql} AS "{name}"' for name, sql in {**known, **_float_photometry(columns)}.items()]
    return objects.project(", ".join(selected))


def _float_photometry(columns: GalaxyColumns) -> Mapping[str, str]:
    """Return the SQL of the magnitudes in a release's columns, in the precision that ``photoz_galaxies`` has."""
    return {name: f"({sql})::FLOAT" for name, sql in photometry_values(columns).items() if name.startswith("mag_")}


def _with_features(galaxies: duckdb.DuckDBPyRelation, model: FittedModel) -> duckdb.DuckDBPyRelation:
    """Add the features of a model, named by their number, to rows with magnitudes."""
    features = features_sql(model.facts.bands, model.facts.features).values()
    named = (f"{sql} AS {_FEATURE}{number}" for number, sql in enumerate(features))
    return galaxies.project(", ".join(["*", *named]))


def _features(columns: Mapping[str, pa.Array], model: FittedModel) -> Features:
    return features_of(columns, [f"{_FEATURE}{number}" for number in range(len(model.facts.features))])


def _estimated(
    model: FittedModel,
    columns: Mapping[str, pa.Array],
    levels: tuple[float, ...],
    redshift: Numbers | None = None,
) -> dict[str, NDArray[Any]]:
    """Estimate galaxies that have all features; the others get NaN.

    Returns
    -------
    dict
        ``quantiles``, shape (galaxies, levels); ``z_mode``, the flags, and ``pit`` and ``cde_loss`` if redshifts
        are given, shape (galaxies,).
    """
    features = _features(columns, model)
    has_bands = have_all(features)
    object_ids: Rows = columns["object_id"].to_numpy(zero_copy_only=False)
    rows = model.training_rows(object_ids)
    is_training = rows >= 0
    chosen = slice(None) if has_bands.all() else has_bands
    found: Estimates = estimate(
        model.model,
        features[chosen],
        levels=levels,
        redshift=None if redshift is None else redshift[chosen],
        training_rows=rows[chosen] if is_training.any() else None,
    )
    values: dict[str, NDArray[Any]] = {"has_bands": has_bands, "is_training": is_training}
    values["is_covered"] = np.zeros(len(features), bool)
    values["is_covered"][chosen] = model.coverage.covers(features[chosen])
    estimated = {"quantiles": found.quantiles, "z_mode": found.mode}
    if found.pit is not None and found.cde_losses is not None:
        # Of rounded sums the last may be a bit above 1.
        estimated |= {"pit": found.pit.clip(0, 1), "cde_loss": found.cde_losses}
    for name, part in estimated.items():
        values[name] = np.full((len(features), *part.shape[1:]), np.nan, np.float32)
        values[name][chosen] = part
    return values


def _summary(levels: tuple[float, ...], quantiles: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """Return the median and the limits of 68 and 90 %, by the names of the columns."""
    named = {f"z_q{round(100 * level):02d}": level for level in QUANTILE_LEVELS if level != _MEDIAN}
    return {name: quantiles[:, levels.index(level)] for name, level in (named | {"z_median": _MEDIAN}).items()}


def _lists(quantiles: NDArray[np.float32]) -> pa.Array:
    """Return quantiles as lists; NULL for a galaxy without an estimate."""
    number, levels = quantiles.shape
    offsets = np.arange(number + 1, dtype=np.int32) * levels
    missing = np.isnan(quantiles[:, 0])
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(quantiles.ravel()), mask=pa.array(missing))


def _array(values: Any, kind: pa.DataType) -> pa.Array:
    """Return values as an Arrow array of a type; NaN is NULL."""
    array = values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)
    return array.cast(kind)
