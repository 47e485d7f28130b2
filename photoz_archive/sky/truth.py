"""The true sources of a tract: where galaxies and stars lie, how bright they are with and without dust.

A tract's truths lie in its inner region. They are drawn in nine blocks, its outer patches apart from the others:
in the border that a tract's images cover around it lie the neighbours' own sources, and for those the blocks next
to it are drawn again, from their own seeds.
"""

from dataclasses import dataclass, fields, replace
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from photoz_archive.sky.photometry import flux_of_magnitude
from photoz_archive.sky.population import magnitudes_of_colours, packaged_population
from photoz_archive.sky.random_streams import Stage, TractSimulation
from photoz_archive.sky.recipe import FieldRecipe
from photoz_archive.sky.rounding import FLUX_BITS, rounded, rounded_angles
from photoz_assets.survey.bands import AB_ZERO_POINT_MAG, BANDS
from photoz_assets.survey.skymap import RingsSkyMap

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

GALAXY: Final = 1
STAR: Final = 2
SUPERNOVA: Final = 3
NO_HOST: Final = -1

# DC2's 20.27 million stars, of which all but 0.6 million have a light curve (LSSTDESC/DC2-production, issue 386),
# over its 300 to 440 square degrees.
_STARS_PER_DEG2: Final = 50_000
_VARIABLE_STAR_SHARE: Final = 0.97
# Ten years of supernovae out to the redshift at which the survey loses them; not fitted to anything.
_SUPERNOVAE_PER_DEG2: Final = 1_000
_SUPERNOVA_LIMIT_REDSHIFT: Final = 1.4
# The axis ratio of a disc seen from its edge.
_EDGE_ON_RATIO: Final = 0.2
_STAR_LIMITS_MAG: Final = (16.0, 26.0)
_STAR_SLOPE_DEX_PER_MAG: Final = 0.1
# Stars are turn-off stars or M dwarfs: their share, mean g-i and its scatter. Guessed, as their counts are.
_STAR_KINDS: Final = ((0.55, 0.5, 0.25), (0.45, 2.3, 0.5))
_LOCUS_SCATTER_MAG: Final = 0.03
# Main sequence: the colours u-g, r-i, i-z and z-y at values of g-i, roughly those of the SDSS locus, not fitted
# to anything.
_LOCUS_GI: Final = (-0.5, 0.5, 1.0, 1.7, 2.3, 3.0, 4.0)
_LOCUS_UG: Final = (0.9, 1.0, 1.6, 2.4, 2.5, 2.6, 2.6)
_LOCUS_RI: Final = (-0.15, 0.1, 0.22, 0.45, 0.9, 1.5, 2.3)
_LOCUS_IZ: Final = (-0.08, 0.03, 0.1, 0.22, 0.45, 0.8, 1.2)
_LOCUS_ZY: Final = (-0.05, 0.0, 0.04, 0.1, 0.2, 0.35, 0.6)


# Pixel 0 begins half a pixel before its centre.
_FIRST_EDGE: Final = -0.5
# A block is a corner patch, the patches between two corners, or all that are inside of those.
_BLOCKS_PER_SIDE: Final = 3
# Closer than any tract is wide: none slips between two points along the edge of a tract's images.
_POINTS_ALONG_EDGE: Final = 57


@dataclass(frozen=True, kw_only=True)
class Sources:
    """True sources, a row each; fluxes in nJy of shape (n, 6), positions on the sky and in the tract's pixels.

    ``host`` is the row of a supernova's galaxy among a tract's truths, NO_HOST for all others. A supernova has no
    light of its own here: the truth tables give the fluxes of what does not vary. ``axis_ratio`` and ``angle``, in
    radians from the tract's x axis to its y axis, are the shape on the sky; what has no size is round.
    """

    ra_deg: FloatArray
    dec_deg: FloatArray
    x: FloatArray
    y: FloatArray
    truth_type: NDArray[np.int8]
    is_variable: BoolArray
    host: IntArray
    redshift: FloatArray
    flux: NDArray[np.float32]
    flux_without_dust: NDArray[np.float32]
    radius_arcsec: FloatArray
    axis_ratio: FloatArray
    angle: FloatArray

    def __len__(self) -> int:
        return len(self.ra_deg)

    def take(self, rows: slice | NDArray[np.int64]) -> Self:
        """Return some of the rows."""
        return type(self)(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    @classmethod
    def concatenate(cls, *parts: "Sources") -> Self:
        """Join sources, in order."""
        return cls(
            **{field.name: np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)}
        )


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What sources are before they have a place: magnitudes in ugrizy free of dust, half-light radius."""

    truth_type: int
    is_variable: BoolArray
    redshift: FloatArray
    magnitudes: FloatArray
    radius_arcsec: FloatArray


def draw_truths(simulation: TractSimulation) -> Sources:
    """Draw the sources within a tract's inner region, patch after patch."""
    parts: list[Sources] = []
    drawn = 0
    for block in range(_BLOCKS_PER_SIDE**2):
        part = _draw_block(simulation, block)
        parts.append(replace(part, host=np.where(part.host == NO_HOST, NO_HOST, part.host + drawn)))
        drawn += len(part)
    return _patch_after_patch(simulation, Sources.concatenate(*parts))


def _draw_block(simulation: TractSimulation, block: int) -> Sources:
    """Draw the sources that belong to a block of patches: they lie in it and in its tract's inner region."""
    skymap, field = simulation.skymap, simulation.field
    box = skymap.inner_box(simulation.tract)
    [left, right], [low, high] = _block_pixels(skymap, np.array(block))
    area_deg2 = (right - left) * (high - low) * (skymap.pixel_scale_arcsec / 3600) ** 2
    parts = []
    for draw, per_deg2, positions, kinds in (
        (_galaxies, packaged_population().per_deg2(field.faint_limit_mag), Stage.GALAXY_POSITIONS, Stage.GALAXIES),
        (_stars, _stars_per_deg2(field.faint_limit_mag), Stage.STAR_POSITIONS, Stage.STARS),
    ):
        rng = simulation.generator(positions, block)
        count = rng.poisson(per_deg2 * simulation.density * area_deg2)
        # Uniform in pixels is uniform on the sky to 3 parts in 10,000.
        x, y = rng.uniform(left, right, count), rng.uniform(low, high, count)
        ra_deg, dec_deg = skymap.pixel_to_sky(simulation.tract, x, y)
        inside = box.contains(ra_deg, dec_deg) & field.covers(ra_deg, dec_deg)
        kind = draw(int(inside.sum()), simulation.generator(kinds, block), field.faint_limit_mag)
        parts.append(_place(simulation, ra_deg[inside], dec_deg[inside], kind))
    parts.append(_supernovae(simulation, block, parts[0]))
    return _with_shapes(simulation, block, Sources.concatenate(*parts))


def _with_shapes(simulation: TractSimulation, block: int, sources: Sources) -> Sources:
    """Give galaxies the shapes of thick discs whose axes point anywhere."""
    rng = simulation.generator(Stage.SHAPES, block)
    axis_ratio, angle = rng.uniform(_EDGE_ON_RATIO, 1, len(sources)), rng.uniform(0, np.pi, len(sources))
    return replace(sources, axis_ratio=np.where(sources.truth_type == GALAXY, axis_ratio, 1.0), angle=angle)


def _block_pixels(skymap: RingsSkyMap, block: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return where blocks begin and end in x and in y, in pixels of their tract, each of shape (..., 2)."""
    size, end = skymap.patch_inner_pixels, skymap.patches_per_side * skymap.patch_inner_pixels
    limits = np.array([[0, size], [size, end - size], [end - size, end]]) + _FIRST_EDGE
    row, column = np.divmod(block, _BLOCKS_PER_SIDE)
    return limits[column], limits[row]


def _patch_after_patch(simulation: TractSimulation, sources: Sources) -> Sources:
    """Sort the sources of a tract by patch."""
    # Few values of few bits: the stable sort of those is a fast one.
    patch = simulation.skymap.patch_of(simulation.tract, sources.ra_deg, sources.dec_deg).astype(np.int8)
    order = np.argsort(patch, kind="stable")
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[NO_HOST] = NO_HOST
    ordered = sources.take(order)
    return replace(ordered, host=place[ordered.host])


def draw_overlap(simulation: TractSimulation) -> Sources:
    """Draw the neighbouring tracts' sources that lie on a tract's images, in that tract's pixels."""
    parts = []
    last_edge = _last_edge(simulation.skymap)
    for tract, block in _bordering_blocks(simulation.skymap, simulation.tract):
        theirs = _draw_block(replace(simulation, tract=tract), block)
        x, y = simulation.skymap.sky_to_pixel(simulation.tract, theirs.ra_deg, theirs.dec_deg)
        seen = np.flatnonzero((x >= _FIRST_EDGE) & (x < last_edge) & (y >= _FIRST_EDGE) & (y < last_edge))
        parts.append(replace(theirs, x=x, y=y, host=np.full(len(theirs), NO_HOST)).take(seen))
    return Sources.concatenate(*parts)


def _bordering_blocks(skymap: RingsSkyMap, tract: int) -> list[tuple[int, int]]:
    """List the blocks of other tracts that a tract's images reach into, by tract and block."""
    last_edge = _last_edge(skymap)
    along = np.linspace(_FIRST_EDGE, last_edge, _POINTS_ALONG_EDGE)
    low, high = np.full_like(along, _FIRST_EDGE), np.full_like(along, last_edge)
    x, y = np.concatenate([along, along, low, high]), np.concatenate([low, high, along, along])
    neighbours = np.unique(skymap.tract_of(*skymap.pixel_to_sky(tract, x, y)))
    tracts, blocks = np.meshgrid(neighbours[neighbours != tract], np.arange(_BLOCKS_PER_SIDE**2), indexing="ij")
    columns, rows = _block_pixels(skymap, blocks)
    # Great circles are straight on the plane of any tract: a block lies within its corners.
    corners = skymap.pixel_to_sky(tracts[..., None], columns[..., [0, 1, 1, 0]], rows[..., [0, 0, 1, 1]])
    x, y = skymap.sky_to_pixel(tract, *corners)
    reaches = (x.max(-1) >= _FIRST_EDGE) & (x.min(-1) < last_edge)
    reaches &= (y.max(-1) >= _FIRST_EDGE) & (y.min(-1) < last_edge)
    return list(zip(tracts[reaches].tolist(), blocks[reaches].tolist(), strict=True))


def _last_edge(skymap: RingsSkyMap) -> float:
    """Return where the last pixel of a tract ends, in x and in y."""
    return skymap.patches_per_side * skymap.patch_inner_pixels + _FIRST_EDGE


def reddening_mag(field: FieldRecipe, ra_deg: FloatArray, dec_deg: FloatArray) -> FloatArray:
    """Return E(B-V) of the dust in front of positions of a field: smooth waves around its mean."""
    ra, dec = np.radians(ra_deg), np.radians(dec_deg)
    waves = np.sin(7 * ra + 3 * dec) + np.sin(11 * dec - 5 * ra + 1.0) + np.sin(17 * ra + 13 * dec + 2.0)
    mean, reach = field.reddening_mag
    return np.asarray(mean + reach * waves / 3)


def _place(simulation: TractSimulation, ra_deg: FloatArray, dec_deg: FloatArray, kind: _Kind) -> Sources:
    reddening = reddening_mag(simulation.field, ra_deg, dec_deg)
    extinction = reddening[:, None] * np.array(simulation.recipe.extinction)
    ra_deg, dec_deg = rounded_angles(ra_deg), rounded_angles(dec_deg)
    x, y = simulation.skymap.sky_to_pixel(simulation.tract, ra_deg, dec_deg)
    bare = flux_of_magnitude(kind.magnitudes)
    return Sources(
        ra_deg=ra_deg,
        dec_deg=dec_deg,
        x=x,
        y=y,
        truth_type=np.full(len(ra_deg), kind.truth_type, np.int8),
        is_variable=kind.is_variable,
        host=np.full(len(ra_deg), NO_HOST),
        redshift=kind.redshift,
        flux=rounded(bare * flux_of_magnitude(AB_ZERO_POINT_MAG + extinction), FLUX_BITS),
        flux_without_dust=rounded(bare, FLUX_BITS),
        radius_arcsec=kind.radius_arcsec,
        axis_ratio=np.ones(len(ra_deg)),
        angle=np.zeros(len(ra_deg)),
    )


def _galaxies(count: int, rng: np.random.Generator, limit_mag: float) -> _Kind:
    drawn = packaged_population().draw(count, rng, limit_mag)
    # Fainter galaxies look smaller; not fitted to anything.
    typical_arcsec = 0.45 * 10 ** (-0.1 * (drawn.magnitudes[:, BANDS.index("i")] - 23))
    return _Kind(
        truth_type=GALAXY,
        is_variable=np.zeros(count, bool),
        redshift=drawn.redshift,
        magnitudes=drawn.magnitudes,
        radius_arcsec=typical_arcsec * 10 ** rng.normal(0, 0.15, count),
    )


def _star_counts(limit_mag: float) -> tuple[float, float]:
    """Return what grows as the number of stars does, at the brightest and at those of a limit in i."""
    low, high = (10 ** (_STAR_SLOPE_DEX_PER_MAG * min(limit, limit_mag)) for limit in _STAR_LIMITS_MAG)
    return low, high


def _stars_per_deg2(limit_mag: float) -> float:
    (low, high), (_, all_of_them) = _star_counts(limit_mag), _star_counts(_STAR_LIMITS_MAG[1])
    return _STARS_PER_DEG2 * ((high - low) / (all_of_them - low))


def _stars(count: int, rng: np.random.Generator, limit_mag: float) -> _Kind:
    i_mag = np.log10(rng.uniform(*_star_counts(limit_mag), count)) / _STAR_SLOPE_DEX_PER_MAG
    dwarf = rng.random(count) >= _STAR_KINDS[0][0]
    mean, scatter = (np.where(dwarf, _STAR_KINDS[1][n], _STAR_KINDS[0][n]) for n in (1, 2))
    g_i = mean + scatter * rng.standard_normal(count)
    u_g, r_i, i_z, z_y = (
        np.interp(g_i, _LOCUS_GI, colour) for colour in (_LOCUS_UG, _LOCUS_RI, _LOCUS_IZ, _LOCUS_ZY)
    )
    colours = np.stack([u_g, g_i - r_i, r_i, i_z, z_y], axis=1)
    colours += _LOCUS_SCATTER_MAG * rng.standard_normal(colours.shape)
    return _Kind(
        truth_type=STAR,
        is_variable=rng.random(count) < _VARIABLE_STAR_SHARE,
        redshift=np.zeros(count),
        magnitudes=magnitudes_of_colours(i_mag, colours),
        radius_arcsec=np.zeros(count),
    )


def _supernovae(simulation: TractSimulation, block: int, galaxies: Sources) -> Sources:
    """Draw supernovae in some of a block's galaxies, near their centres but within the tract."""
    rng = simulation.generator(Stage.SUPERNOVAE, block)
    near = np.flatnonzero(galaxies.redshift < _SUPERNOVA_LIMIT_REDSHIFT)
    per_galaxy = _SUPERNOVAE_PER_DEG2 / packaged_population().per_deg2(simulation.field.faint_limit_mag)
    count = min(int(rng.poisson(per_galaxy * len(galaxies))), len(near))
    host = rng.choice(near, count, replace=False)
    distance_deg, angle = (
        galaxies.radius_arcsec[host] / 3600 * rng.exponential(1.0, count),
        rng.uniform(0, 2 * np.pi, count),
    )
    dec_deg = galaxies.dec_deg[host] + distance_deg * np.sin(angle)
    ra_deg = galaxies.ra_deg[host] + distance_deg * np.cos(angle) / np.cos(np.radians(dec_deg))
    inside = simulation.skymap.inner_box(simulation.tract).contains(ra_deg, dec_deg)
    host, ra_deg, dec_deg = host[inside], np.mod(ra_deg[inside], 360.0), dec_deg[inside]
    dark = _Kind(
        truth_type=SUPERNOVA,
        is_variable=np.ones(len(host), bool),
        redshift=galaxies.redshift[host],
        magnitudes=np.full((len(host), 6), np.inf),
        radius_arcsec=np.zeros(len(host)),
    )
    return replace(_place(simulation, ra_deg, dec_deg, dark), host=host)
