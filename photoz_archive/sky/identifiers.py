"""Identifiers of rows: they are unique on the whole sky and say which tract a row is in.

An ``objectId`` of DP0.2 packs the tract into its highest bits, then the patch (7 bits, enough for 100), then the
row within the tract (41 bits): the same order as the archive's own, though not the same numbers. Those of later
releases are as the archive's. A truth's ``id`` is the tract followed by eight decimal digits.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from photoz_assets.survey.object_ids import ObjectIds

IntArray = NDArray[np.int64]

_PATCH_BITS: Final = 7
_ROW_BITS: Final = 41
_TRUTHS_PER_TRACT: Final = 10**8


def object_ids(tract: int, patch: IntArray, row: IntArray, ids: ObjectIds | None = None) -> IntArray:
    """Return the objectIds of rows of a tract; they ascend with the patch, then with the row.

    ``ids`` is how the release puts them together, None for one of which that is not known.
    """
    if ids is None:
        return (np.int64(tract) << (_PATCH_BITS + _ROW_BITS)) | (patch << _ROW_BITS) | row
    first = np.array([ids.first(tract, number) for number in range(int(patch.max(initial=0)) + 1)])
    return np.asarray(first[patch] + row)


def tract_of_object_id(object_id: int, ids: ObjectIds | None = None) -> int:
    """Return the tract of an objectId; of a number that is none, one that no sky has."""
    if ids is None:
        return object_id >> (_PATCH_BITS + _ROW_BITS)
    return (object_id - ids.first(0, 0)) // (ids.first(1, 0) - ids.first(0, 0))


def truth_ids(tract: int, count: int) -> IntArray:
    """Return the ids of the truths of a tract, ascending."""
    return np.int64(tract) * _TRUTHS_PER_TRACT + np.arange(count)
