"""How training sets are drawn from the galaxies: one frozen object for cuts, splits, sizes and completeness.

Which galaxies the archive is asked for is said by the ``selection``; how a hash decides on one, by ``splits``.
"""

import hashlib
import json
import math
from dataclasses import asdict, dataclass, replace
from typing import Final, Self

from photoz_assets.errors import PhotozError

SPLITS: Final = ("training", "validation", "test")
# What of a galaxy decides its split: all galaxies of one patch or of one tract can be kept together.
SPLIT_KEYS: Final = ("galaxy", "patch", "tract")


class SamplingError(PhotozError):
    """The sampling makes no sense; nothing was drawn."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How galaxies are cut, split and drawn.

    Attributes
    ----------
    seed
        Another seed, other splits and draws.
    split_by
        Whether a split is of galaxies, or of whole patches or tracts.
    fractions
        The share of each split, in the order of ``SPLITS``; together 1.
    sizes
        The most galaxies of each split, in that order; None for all of them.
    extended_only
        Whether objects that are point-like in the reference band are left out.
    max_true_offset_mag
        The most that a galaxy may differ from its true r magnitude, which blends exceed; None for any.
    completeness_limit_mag, completeness_width_mag
        A redshift survey's completeness 1 / (1 + exp((i - limit) / width)), by which galaxies are marked as
        ``followed_up``; without a limit, all are. No split or draw depends on it. The default is about the depth
        that surveys of many redshifts reach.

    Raises
    ------
    SamplingError
        A value makes no sense.
    """

    seed: int = 1
    split_by: str = "galaxy"
    fractions: tuple[float, ...] = (0.5, 0.2, 0.3)
    sizes: tuple[int, ...] | None = (100_000, 20_000, 100_000)
    extended_only: bool = False
    max_true_offset_mag: float | None = None
    completeness_limit_mag: float | None = 23.0
    completeness_width_mag: float = 0.4

    def __post_init__(self) -> None:
        if self.split_by not in SPLIT_KEYS:
            raise SamplingError(f"split by {self.split_by!r}: it is one of {', '.join(SPLIT_KEYS)}")
        named = ", ".join(SPLITS)
        # What is not finite is not positive here either.
        if len(self.fractions) != len(SPLITS) or not all(0 < fraction < 1 for fraction in self.fractions):
            raise SamplingError(f"give a share between 0 and 1 for each of {named}, got {list(self.fractions)}")
        if not math.isclose(sum(self.fractions), 1, abs_tol=1e-9):
            raise SamplingError(f"the shares of {named} must add up to 1, got {list(self.fractions)}")
        if self.sizes is not None and (len(self.sizes) != len(SPLITS) or not all(size > 0 for size in self.sizes)):
            raise SamplingError(f"give a positive size for each of {named}, or none, got {list(self.sizes)}")
        if self.max_true_offset_mag is not None and not 0 < self.max_true_offset_mag < math.inf:
            raise SamplingError(
                f"an offset of {self.max_true_offset_mag} mag keeps no galaxy: give a positive one"
            )
        if self.completeness_limit_mag is not None and not math.isfinite(self.completeness_limit_mag):
            raise SamplingError(
                f"the completeness limit must be a finite number, got {self.completeness_limit_mag}"
            )
        if not 0 < self.completeness_width_mag < math.inf:
            raise SamplingError(f"the completeness width must be positive, got {self.completeness_width_mag}")

    @property
    def of_a_galaxy(self) -> Self:
        """The same without sizes: what of it decides on a galaxy, whatever other galaxies there are."""
        return replace(self, sizes=None)

    def size(self, split: str) -> int | None:
        """Return the most galaxies of a split; None for all of them."""
        return None if self.sizes is None else self.sizes[SPLITS.index(split)]

    @property
    def text(self) -> str:
        """What of it decides on a galaxy, in words for people."""
        words = [
            f"seed {self.seed}, {' : '.join(f'{share:g}' for share in self.fractions)} by {self.split_by}",
            "extended" if self.extended_only else "",
            f"|r - true r| <= {self.max_true_offset_mag:g}" if self.max_true_offset_mag is not None else "",
            self.completeness_text,
        ]
        return ", ".join(filter(None, words))

    @property
    def completeness_text(self) -> str:
        """The redshift survey's completeness in words for people; empty without a limit."""
        if self.completeness_limit_mag is None:
            return ""
        return f"followed up to i = {self.completeness_limit_mag:g}, width {self.completeness_width_mag:g}"

    def to_json(self) -> str:
        """Write the sampling as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        sizes = fields["sizes"]
        return cls(
            **{**fields, "fractions": tuple(fields["fractions"]), "sizes": None if sizes is None else tuple(sizes)}
        )

    @property
    def fingerprint(self) -> str:
        """A short digest that two samplings share only if they are equal."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]
