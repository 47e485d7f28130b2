"""The colours that figures and pages share; common colour visions tell them apart."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

# Okabe and Ito's blue and vermilion.
BLUE: Final = "#0072b2"
VERMILION: Final = "#d55e00"
GREY: Final = "#5f6368"
# What is not there, or has no value.
MISSING: Final = "#ececec"

# How a tract stands; apart in lightness too.
STATE_COLORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "fresh": "#66aad8",
        "stale": "#f0e442",
        "failed": VERMILION,
        "missing": MISSING,
        "running": "#009e73",
    }
)

# Shades of the blue, light for the least.
SHADES: Final = ("#d9eaf6", "#a0cae7", "#66aad8", "#328ec5", BLUE, "#00517f", "#00304d")
