"""Figures as PNG files, whole or not at all, and as thumbnails for the pages that show them."""

import base64
from io import BytesIO
from pathlib import Path
from typing import Final
from uuid import uuid4

from matplotlib.figure import Figure
from PIL import Image

DPI: Final = 150
THUMBNAIL_LIMIT_BYTES: Final = 60_000

# A thumbnail is embedded as text: base64 makes four bytes of three, and an alt text stands before it.
_PNG_LIMIT_BYTES: Final = 44_000
# Tried in turn until the PNG is small enough: text stays readable down to a width of 480.
_WIDTHS_AND_COLORS: Final = ((720, 256), (600, 256), (600, 64), (480, 64), (480, 32), (360, 16), (240, 8))
_ALT_TEXT_KEY: Final = "Description"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG: whole, under a temporary name, then renamed into place.

    The figure's label, its alt text and origin, becomes the PNG's ``Description``.

    Raises
    ------
    OSError
        The file cannot be written; a former one stays as it was.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    written = path.with_name(f".{path.name}.{uuid4().hex}.part")
    metadata = {"Software": "photoz_assets", _ALT_TEXT_KEY: figure.get_label()}
    try:
        figure.savefig(written, format="png", dpi=DPI, metadata=metadata)
        written.replace(path)
    finally:
        written.unlink(missing_ok=True)


def thumbnail(path: Path) -> bytes:
    """Make a small PNG of a figure's file.

    Returns
    -------
    bytes
        A PNG of few colours that as base64 text stays below ``THUMBNAIL_LIMIT_BYTES``, as wide as that allows.

    Raises
    ------
    OSError
        There is no such PNG.
    """
    with Image.open(path) as image:
        full = image.convert("RGB")
    for width, colors in _WIDTHS_AND_COLORS:
        small = full.resize((width, round(full.height * width / full.width)), Image.Resampling.LANCZOS)
        encoded = BytesIO()
        small.quantize(colors, Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE).save(
            encoded, "PNG", optimize=True
        )
        if encoded.tell() <= _PNG_LIMIT_BYTES:
            break
    return encoded.getvalue()


def thumbnail_markdown(path: Path) -> str:
    """Give a figure's thumbnail and alt text as a Markdown image that needs no other file.

    Raises
    ------
    OSError
        There is no such PNG.
    """
    with Image.open(path) as image:
        alt_text = str(image.info.get(_ALT_TEXT_KEY, path.stem))
    escaped = "".join(f"\\{letter}" if letter in "\\[]" else letter for letter in alt_text)
    return f"![{escaped}](data:image/png;base64,{base64.b64encode(thumbnail(path)).decode('ascii')})"
