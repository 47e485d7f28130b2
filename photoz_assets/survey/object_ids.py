"""Object ids: which release, tract and patch the archive's pipelines have written into their highest bits.

The layout is that of the ids published for DP1 and DP2; it is no documented promise.
"""

from dataclasses import dataclass
from typing import Final

_RELEASE_SHIFT: Final = 57
_PLACE_SHIFT: Final = 36
_PLACE_MASK: Final = (1 << (_RELEASE_SHIFT - _PLACE_SHIFT)) - 1
_PATCHES_PER_TRACT: Final = 100


@dataclass(frozen=True)
class ObjectIds:
    """How the ids of a release's objects are put together; ``release`` is the number that they start with."""

    release: int

    def first(self, tract: int, patch: int) -> int:
        """Return the smallest id that an object of a patch can have; 2^36 ids follow it."""
        return (self.release << _RELEASE_SHIFT) | ((_PATCHES_PER_TRACT * tract + patch) << _PLACE_SHIFT)

    def condition(self, object_id: str, tract: str, patch: str) -> str:
        """Return the SQL condition that an id is of this release, of the tract and of the patch."""
        place = f"(({object_id} >> {_PLACE_SHIFT}) & {_PLACE_MASK})"
        return (
            f"({object_id} >> {_RELEASE_SHIFT}) = {self.release} "
            f"AND {place} = {_PATCHES_PER_TRACT} * {tract} + {patch}"
        )
