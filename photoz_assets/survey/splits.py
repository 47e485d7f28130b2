"""Which split a galaxy falls into, and its place in it: pure functions of its key and a seed, in SQL.

Each is made of a number in [0, 1): the first 8 bytes of the MD5 of ``purpose:seed:key`` are read as a
little-endian integer, whose upper 53 bits are divided by 2^53. No galaxy's fate depends on another galaxy, on the
order of rows or on the version of an engine. Purposes keep the numbers of split, draw and
completeness apart.
"""

from dataclasses import dataclass
from typing import Final

from photoz_assets.survey.sampling import SPLITS, Sampling

_DOUBLE_BITS: Final = 53
_SPARE_BITS: Final = 64 - _DOUBLE_BITS


@dataclass(frozen=True, kw_only=True)
class SplitKeys:
    """What can decide a galaxy's split, each in SQL: the galaxy's own key, its patch and its tract."""

    galaxy: str
    patch: str
    tract: str

    def text(self, split_by: str) -> str:
        """Return the key of a galaxy, of its patch or of its tract as a text, in SQL."""
        tract = f"CAST({self.tract} AS VARCHAR)"
        return {
            "galaxy": f"CAST({self.galaxy} AS VARCHAR)",
            "patch": f"{tract} || '/' || CAST({self.patch} AS VARCHAR)",
            "tract": tract,
        }[split_by]


def split_of(sampling: Sampling, keys: SplitKeys) -> str:
    """Return the split of a galaxy, in SQL: one of ``SPLITS``."""
    number = _uniform("split", sampling.seed, keys.text(sampling.split_by))
    training, validation, *_ = sampling.fractions
    first, second, third = (f"'{split}'" for split in SPLITS)
    return (
        f"CASE WHEN {number} < {training!r} THEN {first} "
        f"WHEN {number} < {training + validation!r} THEN {second} ELSE {third} END"
    )


def draw_of(sampling: Sampling, keys: SplitKeys) -> str:
    """Return the draw of a galaxy, in SQL: a set of k galaxies is made of the k smallest draws of a split."""
    return _uniform("draw", sampling.seed, keys.text("galaxy"))


def followed_up(sampling: Sampling, keys: SplitKeys, magnitude: str) -> str:
    """Return whether a survey of the sampling's completeness has a galaxy's redshift, in SQL.

    ``magnitude`` is that in i, in SQL; a galaxy without one has none.
    """
    if sampling.completeness_limit_mag is None:
        return "true"
    number = _uniform("completeness", sampling.seed, keys.text("galaxy"))
    fainter = f"({magnitude} - {sampling.completeness_limit_mag!r}) / {sampling.completeness_width_mag!r}"
    return f"coalesce({number} < 1 / (1 + exp({fainter})), false)"


def _uniform(purpose: str, seed: int, key: str) -> str:
    digest = f"md5_number_upper('{purpose}:{seed:d}:' || {key})"
    return f"(CAST({digest} >> {_SPARE_BITS} AS DOUBLE) / {2**_DOUBLE_BITS})"
