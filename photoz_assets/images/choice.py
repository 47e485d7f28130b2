"""Which galaxies of a tract are looked at: the worst of the checks, those of a condition in SQL, and controls.

Controls are not chosen for anything that is wrong with them: the checks of images are held against these alone.
"""

import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import duckdb

from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.snapshot import in_place, snapshot
from photoz_assets.lake.tables import tables_sql
from photoz_assets.lake.views import confine, views_of
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.images import WORST_OF
from photoz_assets.survey.expressions import (
    dec_offset_arcsec,
    flux_ratio,
    is_comparable,
    position_offsets_arcsec,
    ra_offset_arcsec,
)
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.splits import SplitKeys, draw_of

MOST_OBJECTS: Final = 200
CONTROLS: Final = 12
CONTROL: Final = "control"
BY_CONDITION: Final = "condition"
ESTIMATES: Final = "photoz_estimates"
# Of estimated and known redshift, over 1 + z (Hildebrandt et al. 2010, A&A 523, A31).
OUTLIER: Final = 0.15

_CONTROL_SN: Final = 20
_ALONE_ARCSEC: Final = 4.0
# Of so many bright galaxies with the smallest draws, enough stand alone in any field.
_CONTROL_CANDIDATES: Final = 400
_TOO_MANY: Final = (
    f"stamps are of at most {MOST_OBJECTS} objects: those of all of a tract would be 36 GB and 44 days of the "
    "archive's quota. Training sets of cutouts are made where the images are"
)


class ChoiceError(PhotozError):
    """The objects that are asked for cannot be chosen; nothing was asked of the archive."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Which galaxies: the worst ones, or those of a condition over the columns of ``matched_galaxies``.

    ``where`` and ``order_by`` are DuckDB's SQL; other tables of the lake can be asked in subqueries.
    """

    where: str | None = None
    order_by: str | None = None
    limit: int = 24

    def __post_init__(self) -> None:
        if self.limit > MOST_OBJECTS:
            raise ChoiceError(_TOO_MANY)
        if self.limit < 1:
            raise ChoiceError(f"stamps of {self.limit} objects: expected at least one")


@dataclass(frozen=True, kw_only=True)
class Galaxy:
    """A galaxy that is looked at.

    Attributes
    ----------
    object_id, patch
        Its id, and in which patch it lies.
    ra, dec
        Measured, in degrees.
    redshift
        Known redshift.
    fluxes, errors
        Measured fluxes and their errors in nJy, by band; None where there is none.
    chosen_by
        The check or table whose worst it is, ``condition`` or ``control``.
    """

    object_id: int
    patch: int
    ra: float
    dec: float
    redshift: float
    fluxes: Mapping[str, float | None]
    errors: Mapping[str, float | None]
    chosen_by: str

    def signal_to_noise(self, band: str) -> float:
        """Return a band's flux over its error, 0 where one is missing."""
        flux, error = self.fluxes[band], self.errors[band]
        return flux / error if flux is not None and error else 0.0


def tracts_of(lake: Lake, where: str) -> tuple[int, ...]:
    """Return the tracts of the lake in which galaxies meet a condition, ascending; raises as ``choose``."""
    sql = f"SELECT DISTINCT tract FROM matched_galaxies WHERE (\n{where}\n) ORDER BY tract"
    with _asked(lake, lake.tracts("matched_galaxies")) as connection:
        return tuple(tract for (tract,) in _select(connection, sql))


def choose(lake: Lake, release: Release, tract: int, choice: Choice) -> list[Galaxy]:
    """Return the galaxies of a tract that are chosen, the worst or the first in order first.

    Raises
    ------
    ChoiceError
        The condition cannot be asked, or no galaxy meets it; the lake lacks the tract.
    """
    columns = release.columns
    with _asked(lake, [tract]) as connection:
        if choice.where is None and choice.order_by is None:
            ranked = _worst(columns, tract, choice.limit, has_estimates=bool(lake.files(ESTIMATES)))
        else:
            order = choice.order_by or f'"{columns.object_id}"'
            ranked = (
                f"SELECT {columns.object_id} AS id, '{BY_CONDITION}' AS chosen_by, "
                f"row_number() OVER (ORDER BY {order}\n) AS place "
                f"FROM matched_galaxies WHERE (\n{choice.where or 'true'}\n) QUALIFY place <= {choice.limit}"
            )
        found = _galaxies(connection, columns, ranked, choice.limit)
    if not found:
        raise ChoiceError(f"no galaxy of tract {tract} is to be shown: none meets the condition")
    return found


def choose_controls(lake: Lake, release: Release, tract: int, chosen: Iterable[Galaxy]) -> list[Galaxy]:
    """Return control galaxies of a tract: bright in r, alone among those of the lake, by the smallest draws.

    None of those that are chosen is among them: what is wrong with these is no measure of the images.

    Raises
    ------
    ChoiceError
        The lake lacks the tract.
    """
    columns = release.columns
    key, (ra, dec) = columns.object_id, columns.position
    draw = draw_of(Sampling(), SplitKeys(galaxy=key, patch=columns.patch, tract=f"{tract:d}"))
    bright = f"{columns.flux('r')} > {_CONTROL_SN} * {columns.flux_error('r')}"
    is_chosen = f"list_contains({[galaxy.object_id for galaxy in chosen]}, {key})"
    east, north = ra_offset_arcsec(f"n.{ra}", f"b.{ra}", f"b.{dec}"), dec_offset_arcsec(f"n.{dec}", f"b.{dec}")
    near = f"abs({north}) < {_ALONE_ARCSEC} AND pow({east}, 2) + pow({north}, 2) < {_ALONE_ARCSEC**2}"
    ranked = f"""
        SELECT b.{key} AS id, '{CONTROL}' AS chosen_by, row_number() OVER (ORDER BY b.draw) AS place
        FROM (SELECT *, {draw} AS draw FROM matched_galaxies WHERE {bright} AND NOT {is_chosen}
              ORDER BY draw LIMIT {_CONTROL_CANDIDATES}) AS b
        WHERE NOT EXISTS (SELECT 1 FROM matched_galaxies AS n WHERE n.{key} <> b.{key} AND {near})
    """
    with _asked(lake, [tract]) as connection:
        return _galaxies(connection, columns, ranked, CONTROLS)


def _worst(columns: GalaxyColumns, tract: int, limit: int, *, has_estimates: bool) -> str:
    """Return the SQL of the worst galaxies of each check and of the estimates, with their places among these."""
    east, north = position_offsets_arcsec(columns)
    key, galaxies = columns.object_id, "matched_galaxies"
    offsets, fluxes = WORST_OF
    badness = {offsets: (key, f"pow({east}, 2) + pow({north}, 2)", galaxies)}
    if columns.true_fluxes:
        ratios = ", ".join(
            f"CASE WHEN {is_comparable(columns, band)} THEN abs(ln({flux_ratio(columns, band)})) END"
            for band in BANDS
        )
        badness[fluxes] = key, f"list_max([{ratios}])", galaxies
    if has_estimates:
        apart = "abs(z_median - redshift) / (1 + redshift)"
        of_tract = f"(SELECT * FROM {ESTIMATES} WHERE tract = {tract:d} AND {apart} > {OUTLIER})"
        badness[ESTIMATES] = "object_id", apart, of_tract
    return " UNION ALL ".join(
        f"SELECT {id_column} AS id, '{name}' AS chosen_by, "
        f"row_number() OVER (ORDER BY {bad} DESC NULLS LAST, {id_column}) AS place "
        f"FROM {source} WHERE {bad} IS NOT NULL QUALIFY place <= {limit}"
        for name, (id_column, bad, source) in badness.items()
    )


def _galaxies(
    connection: duckdb.DuckDBPyConnection, columns: GalaxyColumns, ranked: str, limit: int
) -> list[Galaxy]:
    """Return the galaxies of some ids by their best places, each once, checks by turns."""
    ra, dec = columns.position
    selected = ", ".join(
        [columns.object_id, columns.patch, ra, dec, columns.redshift]
        + [name(band) for name in (columns.flux, columns.flux_error) for band in BANDS]
    )
    sql = f"""
        SELECT chosen_by, {selected} FROM matched_galaxies JOIN
        (SELECT id, arg_min(chosen_by, (place, chosen_by)) AS chosen_by, min(place) AS place
         FROM ({ranked}) GROUP BY id) ON id = {columns.object_id}
        ORDER BY place, chosen_by LIMIT {limit}
    """
    return [_galaxy(row) for row in _select(connection, sql)]


def _galaxy(row: Sequence[Any]) -> Galaxy:
    chosen_by, object_id, patch, ra, dec, redshift, *measured = row
    fluxes, errors = measured[: len(BANDS)], measured[len(BANDS) :]
    return Galaxy(
        object_id=object_id,
        patch=patch,
        ra=ra,
        dec=dec,
        redshift=redshift,
        fluxes=dict(zip(BANDS, fluxes, strict=True)),
        errors=dict(zip(BANDS, errors, strict=True)),
        chosen_by=chosen_by,
    )


@contextmanager
def _asked(lake: Lake, tracts: Iterable[int]) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the lake's views, ``matched_galaxies`` with some tracts alone, for SQL that reads nothing else."""
    files = [lake.table("matched_galaxies", tract) for tract in tracts]
    missing = [path for path in files if not path.exists()] or [lake.root / "matched_galaxies"] * (not files)
    if missing:
        raise ChoiceError(f"there is no {missing[0]} to choose galaxies from: materialize matched_galaxies first")
    with tempfile.TemporaryDirectory() as scratch, views_of(lake) as connection:
        held = snapshot(lake, files)
        sql = tables_sql(connection, held, tract_column=True)
        connection.execute(f"CREATE OR REPLACE VIEW matched_galaxies AS {sql}")
        confine(connection, lake.root, Path(scratch))
        yield connection


def _select(connection: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[Any, ...]]:
    """Ask what a user has a part in: one statement that reads."""
    try:
        kinds = [statement.type for statement in connection.extract_statements(sql)]
        if kinds != [duckdb.StatementType.SELECT]:
            raise ChoiceError("a condition is one expression of DuckDB's SQL, such as obj_rMag < 20")
        return connection.sql(sql).fetchall()
    except duckdb.Error as error:
        raise ChoiceError(
            f"the condition cannot be asked: {in_place(str(error).splitlines()[0])}. `photoz query 'DESCRIBE "
            "matched_galaxies'` lists the columns"
        ) from error
