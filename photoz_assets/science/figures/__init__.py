"""Figures of the sky, of galaxies and of the survey, in one house style, drawn from counts in bins.

Each figure is a ``matplotlib.figure.Figure`` of its own, made without pyplot and without global settings, so that
figures can be drawn in any thread; its label is its alt text. Importing this package loads matplotlib, which takes
a second: import it where figures are drawn, not where definitions are loaded.
"""

from photoz_assets.science.figures.galaxies import figures_of, galaxy_figures
from photoz_assets.science.figures.images import (
    FieldGalaxies,
    StampPicture,
    coadd_picture,
    field_picture,
    stamp_sheet,
)
from photoz_assets.science.figures.png import (
    THUMBNAIL_LIMIT_BYTES,
    contact_sheet,
    save,
    thumbnail,
    thumbnail_markdown,
)
from photoz_assets.science.figures.sky import sky_map
from photoz_assets.science.figures.style import Caption
from photoz_assets.science.figures.survey import SURVEY_FIGURES, state_map

__all__ = [
    "SURVEY_FIGURES",
    "THUMBNAIL_LIMIT_BYTES",
    "Caption",
    "FieldGalaxies",
    "StampPicture",
    "coadd_picture",
    "contact_sheet",
    "field_picture",
    "figures_of",
    "galaxy_figures",
    "save",
    "sky_map",
    "stamp_sheet",
    "state_map",
    "thumbnail",
    "thumbnail_markdown",
]
