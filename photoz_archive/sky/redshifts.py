"""Redshifts that mock surveys would have of a simulated sky, and which of its true sources each is of.

Four surveys: a bright one, limited by magnitude alone; one selected by colour for redshifts of 0.6 to 1.2; pencil
beams, deep and narrow, by slit and by grism; and photometry in many bands. None is fitted to anything. The fainter
a source, the less often its redshift is found; of those that are, some are wrong.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from photoz_archive.sky.photometry import magnitude_of_flux
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.recipe import recipe_of
from photoz_archive.sky.store import SkyStore
from photoz_archive.sky.truth import GALAXY, STAR
from photoz_assets.survey.redshift_files import STAR_GRADE
from photoz_assets.survey.skymap import RingsSkyMap

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

# The columns of the Photo-z Server's combined catalogues, with DESI's name for what a spectrum is of.
REDSHIFTS: Final = pa.schema(
    [
        ("CRD_ID", pa.string()),
        ("id", pa.string()),
        ("ra", pa.float64()),
        ("dec", pa.float64()),
        ("z", pa.float64()),
        ("z_flag", pa.float64()),
        ("z_err", pa.float64()),
        ("instrument_type", pa.string()),
        ("survey", pa.string()),
        ("source", pa.string()),
        ("tie_result", pa.int64()),
        ("z_flag_homogenized", pa.float64()),
        ("instrument_type_homogenized", pa.string()),
        ("spectype", pa.string()),
    ]
)

# Per axis: a tenth of an arcsecond on the sky.
_POSITION_SCATTER_ARCSEC: Final = 0.1 / np.sqrt(2)
_WRONG_SHARE: Final = 0.015
_WRONG_SHARE_IN_DOUBT: Final = 0.5
# Over how many magnitudes redshifts cease to be found.
_FADING_MAG: Final = 0.4
# The grades of redshifts that were found, and of those that were not; a third of the latter is left out.
_FOUND_GRADES: Final = ((4, 3), (0.8, 0.2))
_DOUBTFUL_GRADES: Final = ((2, 1, 0), (0.5, 0.3, 0.2))
_LEFT_OUT_SHARE: Final = 0.33
# The sky has no quasars: what is observed as one is a star of it.
_QUASAR_SHARE: Final = 0.2
_QUASAR_REDSHIFTS: Final = (0.5, 3.0)


@dataclass(frozen=True, kw_only=True)
class Survey:
    """A mock survey.

    Attributes
    ----------
    name
        As its rows have it.
    types
        Types of redshifts, each with its share.
    limit_mag
        The magnitude in i at which half of the redshifts are found.
    share
        The share of the eligible sources that is observed.
    star_share
        The same of stars, which are observed by mistake.
    redshifts
        What its colours select, of which a twentieth is others.
    beam_arcmin
        The radius of its beams, one around the middle of every ninth patch; None where it sees all of the sky.
    error
        The error of a redshift z over 1 + z.
    """

    name: str
    types: tuple[tuple[str, float], ...]
    limit_mag: float
    share: float
    star_share: float
    error: float
    redshifts: tuple[float, float] = (0.0, np.inf)
    beam_arcmin: float | None = None


SURVEYS: Final = (
    Survey(name="SIM-BRIGHT", types=(("s", 1.0),), limit_mag=20.5, share=0.9, star_share=0.05, error=1e-4),
    Survey(
        name="SIM-COLOUR",
        types=(("s", 1.0),),
        limit_mag=22.8,
        share=0.25,
        star_share=0.01,
        error=2e-4,
        redshifts=(0.6, 1.2),
    ),
    Survey(
        name="SIM-PENCIL",
        types=(("s", 0.6), ("g", 0.4)),
        limit_mag=24.0,
        share=0.5,
        star_share=0.02,
        error=1e-3,
        beam_arcmin=4.0,
    ),
    Survey(name="SIM-MANYBAND", types=(("p", 1.0),), limit_mag=23.8, share=0.1, star_share=0.01, error=1e-2),
)
_CONTAMINATION: Final = 0.05
_PATCHES_PER_BEAM: Final = 9


@dataclass(frozen=True)
class _Truths:
    """The sources of a tract that can have a redshift."""

    key: NDArray[np.object_]
    ra_deg: FloatArray
    dec_deg: FloatArray
    redshift: FloatArray
    i_mag: FloatArray
    is_star: BoolArray


def redshifts_of(store: SkyStore, tracts: Iterable[int]) -> pa.Table:
    """Return what the mock surveys have of some tracts, which are made if they are missing.

    Returns
    -------
    pyarrow.Table
        The columns of ``REDSHIFTS``, then ``id_truth_type``, the true source that each row is of.
    """
    wanted = sorted(set(tracts))
    store.ensure(wanted)
    schema = REDSHIFTS.append(pa.field("id_truth_type", pa.string()))
    return pa.concat_tables([schema.empty_table(), *(_of_tract(store, tract, schema) for tract in wanted)])


def true_objects(store: SkyStore, redshifts: pa.Table, tracts: Iterable[int]) -> pa.Table:
    """Return of which object each redshift is: ``CRD_ID`` and ``objectId``, NULL where the source has none.

    A match of the redshifts with the objects by their places can be held against it, which no real sky allows.
    """
    matches = pa.concat_tables(
        [
            pq.read_table(file, columns=["id_truth_type", "match_objectId"])
            for file in store.files("MatchesTruth", tracts)
        ]
    )
    joined = redshifts.select(["CRD_ID", "id_truth_type"]).join(matches, "id_truth_type", join_type="left outer")
    return joined.select(["CRD_ID", "match_objectId"]).rename_columns(["CRD_ID", "objectId"])


def _of_tract(store: SkyStore, tract: int, schema: pa.Schema) -> pa.Table:
    simulation = TractSimulation(
        tract=tract, seed=store.seed, density=store.density, recipe=recipe_of(store.release)
    )
    truths = _truths(store, tract)
    parts = [
        _observe(survey, truths, simulation, np.random.default_rng([*_seeds(simulation), number]), schema)
        for number, survey in enumerate(SURVEYS)
    ]
    return pa.concat_tables(parts)


def _seeds(simulation: TractSimulation) -> list[int]:
    return [int(seed) for seed in simulation.generator(Stage.REDSHIFTS).integers(2**32, size=4)]


def _truths(store: SkyStore, tract: int) -> _Truths:
    [path] = store.files("TruthSummary", [tract])
    rows = pq.read_table(path, columns=["id_truth_type", "ra", "dec", "redshift", "flux_i", "truth_type"])
    columns = {name: rows.column(name).to_numpy() for name in rows.column_names}
    kept = np.isin(columns["truth_type"], (GALAXY, STAR))
    columns = {name: values[kept] for name, values in columns.items()}
    return _Truths(
        key=columns["id_truth_type"],
        ra_deg=columns["ra"],
        dec_deg=columns["dec"],
        redshift=columns["redshift"].astype(np.float64),
        i_mag=magnitude_of_flux(columns["flux_i"]),
        is_star=columns["truth_type"] == STAR,
    )


def _observe(
    survey: Survey, truths: _Truths, simulation: TractSimulation, rng: np.random.Generator, schema: pa.Schema
) -> pa.Table:
    """Return what a survey has of a tract's sources."""
    rows = _targets(survey, truths, simulation, rng)
    found = rng.random(len(rows)) < _success(survey, truths.i_mag[rows])
    kept = found | (rng.random(len(rows)) >= _LEFT_OUT_SHARE)
    rows, found = rows[kept], found[kept]
    count = len(rows)
    types = rng.choice([name for name, _ in survey.types], count, p=[share for _, share in survey.types])
    is_star = truths.is_star[rows]
    is_quasar = is_star & (rng.random(count) < _QUASAR_SHARE)
    redshift = np.where(is_quasar, rng.uniform(*_QUASAR_REDSHIFTS, count), truths.redshift[rows])
    error = survey.error * (1 + redshift)
    # A wrong one is that of some other source: lines are taken for others, light of neighbours falls in.
    is_wrong = ~is_star & (rng.random(count) < np.where(found, _WRONG_SHARE, _WRONG_SHARE_IN_DOUBT))
    redshift = np.where(is_wrong, rng.permutation(redshift), redshift) + error * rng.standard_normal(count)
    grade = np.where(found, _grades(_FOUND_GRADES, count, rng), _grades(_DOUBTFUL_GRADES, count, rng))
    grade = np.where(is_star & ~is_quasar & found, STAR_GRADE, grade).astype(np.float64)
    scatter_deg = _POSITION_SCATTER_ARCSEC / 3600 * rng.standard_normal((2, count))
    dec_deg = truths.dec_deg[rows] + scatter_deg[1]
    tract = simulation.tract
    columns = {
        "CRD_ID": [f"{survey.name}_{tract}_{number}" for number in range(count)],
        "id": [f"{tract}{number:07d}" for number in range(count)],
        "ra": np.mod(truths.ra_deg[rows] + scatter_deg[0] / np.cos(np.radians(dec_deg)), 360.0),
        "dec": dec_deg,
        "z": np.where(is_star & ~is_quasar, redshift, np.maximum(redshift, 1e-4)),
        "z_flag": grade,
        "z_err": error,
        "instrument_type": types,
        "survey": [survey.name] * count,
        "source": ["embedded archive, simulated"] * count,
        "tie_result": np.ones(count, np.int64),
        "z_flag_homogenized": grade,
        "instrument_type_homogenized": types,
        "spectype": np.select([is_quasar, is_star], ["QSO", "STAR"], "GALAXY"),
        "id_truth_type": truths.key[rows],
    }
    return pa.table({field.name: pa.array(columns[field.name], field.type) for field in schema}, schema=schema)


def _targets(survey: Survey, truths: _Truths, simulation: TractSimulation, rng: np.random.Generator) -> IntArray:
    """Return the rows of the sources that a survey observes."""
    low, high = survey.redshifts
    selected = (truths.redshift > low) & (truths.redshift < high)
    share = np.where(selected, survey.share, survey.share * _CONTAMINATION)
    share = np.where(truths.is_star, survey.star_share, share)
    # Fainter than this, next to no redshift is found.
    bright = truths.i_mag < survey.limit_mag + 2 * _FADING_MAG
    observed = bright & (rng.random(len(share)) < share)
    if survey.beam_arcmin is not None:
        observed &= _in_beams(simulation.skymap, simulation.tract, truths, survey.beam_arcmin)
    return np.flatnonzero(observed)


def _in_beams(skymap: RingsSkyMap, tract: int, truths: _Truths, beam_arcmin: float) -> BoolArray:
    x, y = skymap.sky_to_pixel(tract, truths.ra_deg, truths.dec_deg)
    patch = skymap.patch_of(tract, truths.ra_deg, truths.dec_deg)
    size = skymap.patch_inner_pixels
    off = np.hypot(np.mod(x, size) - size / 2, np.mod(y, size) - size / 2) * skymap.pixel_scale_arcsec / 60
    return np.asarray((off < beam_arcmin) & (patch % _PATCHES_PER_BEAM == 0))


def _success(survey: Survey, i_mag: FloatArray) -> FloatArray:
    """Return how often a redshift is found: half of them at the limit, fewer the fainter a source is."""
    return np.asarray(0.97 / (1 + np.exp((i_mag - survey.limit_mag) / _FADING_MAG)))


def _grades(grades: tuple[tuple[int, ...], tuple[float, ...]], count: int, rng: np.random.Generator) -> IntArray:
    values, shares = grades
    return rng.choice(values, count, p=shares)
