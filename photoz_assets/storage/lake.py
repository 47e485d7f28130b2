"""The old import path of ``photoz_assets.connect``."""

from photoz_assets import connect

__all__ = ["connect"]
