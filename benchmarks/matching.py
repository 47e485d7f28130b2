"""The match of redshifts with objects: ours beside astropy's, on the same made-up rows of a tract of DP1."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.measurement import Measured

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

_RADIUS_ARCSEC = 0.75
# Redshifts scatter around their objects as two surveys do.
_SCATTER_ARCSEC = 0.1
_ORPHANS = 0.2


def _positions(objects: int, redshifts: int) -> "tuple[NDArray[np.float64], NDArray[np.float64]]":
    """Return objects and redshifts, shape (rows, 2), in degrees; some redshifts have no object of their own."""
    import numpy as np

    rng = np.random.default_rng(1)
    low, high = (52.2, -28.5), (53.9, -27.0)
    places = rng.uniform(low, high, (objects, 2))
    own = places[rng.choice(objects, redshifts, replace=False)] + rng.normal(
        0, _SCATTER_ARCSEC / 3600, (redshifts, 2)
    )
    orphans = rng.random(redshifts) < _ORPHANS
    return places, np.where(orphans[:, None], rng.uniform(low, high, (redshifts, 2)), own)


def match_here(objects: int, redshifts: int) -> Measured:
    """Match as the pipeline does: pairs, neighbours, one rule, nearest both ways."""
    import duckdb
    import pyarrow as pa

    from photoz_assets.science.matching import match
    from photoz_assets.survey.matching import Matching

    places, others = _positions(objects, redshifts)
    ours = pa.table({"object_id": range(objects), "ra": places[:, 0], "dec": places[:, 1]})
    theirs = pa.table(
        {
            "sz_id": [f"{number}" for number in range(redshifts)],
            "sz_ra": others[:, 0],
            "sz_dec": others[:, 1],
            "sz_grade": [4] * redshifts,
            "sz_type": ["s"] * redshifts,
        }
    )

    def run() -> dict[str, Any]:
        with duckdb.connect() as connection:
            connection.register("objects", ours)
            connection.register("redshifts", theirs)
            found = match(connection, Matching(radius_arcsec=_RADIUS_ARCSEC))
        return {"pairs": len(found.distances_arcsec)}

    return run


def match_astropy(objects: int, redshifts: int) -> Measured:
    """Match by astropy what ours finds: the nearest of both, either way, and how many lie within the radius."""
    import numpy as np
    from astropy import units
    from astropy.coordinates import SkyCoord, search_around_sky

    places, others = _positions(objects, redshifts)

    def run() -> dict[str, Any]:
        ours, theirs = (SkyCoord(*each.T * units.deg) for each in (places, others))
        _, distance, _ = theirs.match_to_catalog_sky(ours)
        ours.match_to_catalog_sky(theirs)
        search_around_sky(ours, theirs, _RADIUS_ARCSEC * units.arcsec)
        return {"pairs": int(np.sum(distance.arcsec <= _RADIUS_ARCSEC))}

    return run


MATCHING: dict[str, Callable[..., Measured]] = {
    function.__name__: function for function in (match_here, match_astropy)
}
