"""How redshifts of other surveys are matched with objects: one frozen object for the match and its checks."""

import json
import math
from dataclasses import asdict, dataclass
from typing import Final, Self

from photoz_assets.errors import PhotozError
from photoz_assets.survey.redshift_files import GALAXY, GRADES, REDSHIFT_TYPES

# A reach of several arcsec would find a neighbour anywhere.
LARGEST_RADIUS_ARCSEC: Final = 5.0


class MatchingError(PhotozError):
    """The matching makes no sense; nothing was matched."""


@dataclass(frozen=True, kw_only=True)
class Matching:
    """Each redshift goes to the nearest object within a radius; of an object's, the best grade is taken.

    Among equal grades the type decides, then the distance, then the name.

    The radius is SITCOMTN-154's, the least grade that of its redshifts with a confidence of 0.9. ``types`` are in
    the order in which they count among equal grades.

    Raises
    ------
    MatchingError
        The radius is no positive number or reaches too far, a type or a grade is unknown, or no type is named.
    """

    radius_arcsec: float = 0.75
    types: tuple[str, ...] = ("s", "g", "p")
    least_grade: int = 3
    least_redshift: float = 0.001

    def __post_init__(self) -> None:
        if not 0 < self.radius_arcsec <= LARGEST_RADIUS_ARCSEC:
            raise MatchingError(
                f"the radius of a match must lie above 0 and be at most {LARGEST_RADIUS_ARCSEC:g} arcsec, "
                f"got {self.radius_arcsec}"
            )
        if unknown := [name for name in self.types if name not in REDSHIFT_TYPES]:
            raise MatchingError(
                f"unknown type of redshift {', '.join(map(repr, unknown))}: they are {', '.join(REDSHIFT_TYPES)}"
            )
        if not self.types or len(set(self.types)) != len(self.types):
            raise MatchingError(f"name each type of redshift once, got {list(self.types)}")
        if self.least_grade not in GRADES:
            raise MatchingError(f"the least grade must be 0 to 4, got {self.least_grade}")
        if not (math.isfinite(self.least_redshift) and self.least_redshift >= 0):
            raise MatchingError(f"the least redshift must be a number of at least 0, got {self.least_redshift}")

    @property
    def text(self) -> str:
        """The matching in words for people."""
        return (
            f"within {self.radius_arcsec:g} arcsec, types {', '.join(self.types)}, grade {self.least_grade} or "
            f"better, redshift above {self.least_redshift:g}"
        )

    @property
    def counts(self) -> str:
        """The SQL condition, over the columns of ``specz``, that a redshift counts: it is a galaxy's, and good."""
        types = ", ".join(f"'{name}'" for name in self.types)
        return (
            f"sz_type IN ({types}) AND sz_grade BETWEEN {self.least_grade} AND {max(GRADES)} "
            f"AND sz_redshift > {self.least_redshift!r} AND coalesce(sz_class, '{GALAXY}') = '{GALAXY}'"
        )

    @property
    def order(self) -> str:
        """The SQL order of an object's redshifts, over ``specz`` and the distance: the first one is taken."""
        ranks = " ".join(f"WHEN '{name}' THEN {rank}" for rank, name in enumerate(self.types))
        return f"sz_grade DESC, CASE sz_type {ranks} END, sz_distance_arcsec, sz_id"

    def to_json(self) -> str:
        """Write the matching as JSON with sorted keys."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Read what ``to_json`` wrote."""
        fields = json.loads(text)
        return cls(**{**fields, "types": tuple(fields["types"])})
