"""Figures as files: one PNG for each, one contact sheet of several, and thumbnails for pages."""

import base64
from bisect import bisect_left
from collections.abc import Sequence
from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Final

from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

DPI: Final = 150
# Dagster keeps what it is shown three times: with the run, in the asset's history, and as the asset's newest.
THUMBNAIL_LIMIT_BYTES: Final = 12_000

_SHEET_COLUMNS: Final = 3
_CELL_WIDTH: Final = 720
_GAP: Final = 16
# A thumbnail is embedded as text: base64 makes four bytes of three, and an alt text stands before it.
_IMAGE_LIMIT_BYTES: Final = 7_000
# The first that makes the picture small enough is taken: a sheet's headings stay readable down to a width of 720.
_WIDTHS_AND_QUALITIES: Final = (
    (960, 40),
    (960, 25),
    (840, 22),
    (720, 24),
    (720, 20),
    (720, 16),
    (720, 12),
    (480, 15),
    (480, 5),
    (240, 5),
)
# From 0 to 10: slower is smaller, but 8 takes twice as long as 9 for as many bytes.
_ENCODING_SPEED: Final = 9
# Twice as fast as the default, for a fifth more bytes.
_PACKING: Final = {"compress_level": 3}
_ALT_TEXT_KEY: Final = "Description"


def save(figure: Figure, path: Path) -> None:
    """Write a figure as PNG.

    The figure's label, its alt text and origin, becomes the PNG's ``Description``.

    Raises
    ------
    OSError
        The file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    metadata = {"Software": "photoz_assets", _ALT_TEXT_KEY: figure.get_label()}
    figure.savefig(path, format="png", dpi=DPI, metadata=metadata, pil_kwargs=_PACKING)


def contact_sheet(figures: Sequence[Path], path: Path) -> None:
    """Write the PNGs of figures as one sheet, in rows; its alt text is all of theirs.

    Raises
    ------
    OSError
        One of them is missing, or the sheet cannot be written.
    """
    cells, alt_texts = [], []
    for figure in figures:
        with Image.open(figure) as image:
            alt_texts.append(str(image.info.get(_ALT_TEXT_KEY, figure.stem)))
            cells.append(image.convert("RGB").resize(_within_cell(image), Image.Resampling.LANCZOS))
    rows = [cells[start : start + _SHEET_COLUMNS] for start in range(0, len(cells), _SHEET_COLUMNS)]
    heights = [max(cell.height for cell in row) + _GAP for row in rows]
    sheet = Image.new("RGB", (_SHEET_COLUMNS * (_CELL_WIDTH + _GAP), sum(heights)), "white")
    for number, row in enumerate(rows):
        for column, cell in enumerate(row):
            sheet.paste(cell, (column * (_CELL_WIDTH + _GAP), sum(heights[:number])))
    described = PngInfo()
    described.add_itxt(_ALT_TEXT_KEY, " ".join(alt_texts))
    sheet.save(path, "PNG", pnginfo=described, **_PACKING)


def _within_cell(image: Image.Image) -> tuple[int, int]:
    return _CELL_WIDTH, round(image.height * _CELL_WIDTH / image.width)


def thumbnail(path: Path) -> bytes:
    """Return a small picture of a figure's file.

    Returns
    -------
    bytes
        An AVIF that as base64 text stays below ``THUMBNAIL_LIMIT_BYTES``, as wide and fine as that allows.

    Raises
    ------
    OSError
        There is no such PNG.
    """
    with Image.open(path) as image:
        full = image.convert("RGB")

    @cache
    def resized(width: int) -> Image.Image:
        size = (width, round(full.height * width / full.width))
        return full.resize(size, Image.Resampling.LANCZOS)

    @cache
    def encoded(choice: int) -> bytes:
        width, quality = _WIDTHS_AND_QUALITIES[choice]
        file = BytesIO()
        resized(width).save(file, "AVIF", quality=quality, speed=_ENCODING_SPEED)
        return file.getvalue()

    def fits(choice: int) -> bool:
        return len(encoded(choice)) <= _IMAGE_LIMIT_BYTES

    last = len(_WIDTHS_AND_QUALITIES) - 1
    return encoded(0 if fits(0) else bisect_left(range(last), x=True, lo=1, key=fits))


def thumbnail_markdown(path: Path) -> str:
    """Return a figure's thumbnail and alt text as a Markdown image that needs no other file.

    Raises
    ------
    OSError
        There is no such PNG.
    """
    with Image.open(path) as image:
        alt_text = str(image.info.get(_ALT_TEXT_KEY, path.stem))
    escaped = "".join(f"\\{letter}" if letter in "\\[]" else letter for letter in alt_text)
    return f"![{escaped}](data:image/avif;base64,{base64.b64encode(thumbnail(path)).decode('ascii')})"
