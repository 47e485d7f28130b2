"""The inputs of a simulated tract and its streams of random numbers."""

from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np

from photoz_archive.sky.recipe import DP02, FieldRecipe, Recipe
from photoz_assets.survey.skymap import RingsSkyMap


class Stage(IntEnum):
    """The purposes of random numbers: each has its own stream, so that a change of one leaves the others.

    The numbers are part of what a seed means: new stages are added at the end.
    """

    GALAXY_POSITIONS = 0
    GALAXIES = 1
    STAR_POSITIONS = 2
    STARS = 3
    CENTROIDS = 8
    FLUXES = 9
    FLAGS = 10
    SKY_OBJECTS = 11
    MATCHES = 12
    SUPERNOVAE = 13
    DEPTHS = 14
    APERTURES = 15
    SHAPES = 16
    PIXELS = 17
    PIXEL_FLAGS = 18
    REDSHIFTS = 19


@dataclass(frozen=True, kw_only=True)
class TractSimulation:
    """The simulation of one tract: all that its rows depend on besides the packaged population.

    ``density`` is the share of the real source density, in (0, 1].
    """

    tract: int
    seed: int
    density: float
    recipe: Recipe = DP02

    @cached_property
    def field(self) -> FieldRecipe:
        """What was seen of the field that the tract is of."""
        return self.recipe.field_of(self.tract)

    @property
    def skymap(self) -> RingsSkyMap:
        """The skymap that the tract is of."""
        return self.recipe.release.skymap

    def generator(self, stage: Stage, block: int | None = None) -> np.random.Generator:
        """Return a stage's stream of random numbers; it depends on release, seed, tract, stage and block alone.

        A stage draws block by block or for the whole tract, always the same way: the streams of block 0 and of the
        tract are one.
        """
        key = [self.seed, self.tract, stage] if block is None else [self.seed, self.tract, stage, block]
        seeds = np.random.SeedSequence(key, spawn_key=self.recipe.stream)
        return np.random.Generator(np.random.PCG64(seeds))

    @property
    def crowding_scale(self) -> float:
        """How much farther apart sources lie than in DC2, so that distances over it blend as many as there."""
        return float(self.density**-0.5)
