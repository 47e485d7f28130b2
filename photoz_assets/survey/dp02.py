"""The facts of Data Preview 0.2: its schema, the name of its data, its tracts, and how densely it is simulated."""

from typing import Final

SCHEMA: Final = "dp02_dc2_catalogs"

LABEL: Final = "DC2 simulation"

# The tracts that hold objects, as the archive's own skyinfo lists them (November 2022).
# A line a ring of the skymap, from south to north; RTN-029 counts 166 tracts, 9 of which hold no objects.
TRACTS: Final[tuple[int, ...]] = (
    *range(2897, 2909),
    *range(3074, 3087),
    *range(3256, 3269),
    *range(3441, 3455),
    *range(3631, 3644),
    *range(3825, 3838),
    *range(4022, 4036),
    *range(4224, 4237),
    *range(4429, 4442),
    *range(4636, 4649),
    *range(4848, 4861),
    *range(5062, 5075),
)

# The share of the real source density that the embedded archive has unless told otherwise: at it, all tracts are
# made in the time that somebody watches a demo.
DEFAULT_DENSITY: Final = 0.01
