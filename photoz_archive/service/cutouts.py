"""What a request for a cutout asks for: a box of a coadd's pixels, and how much of them (SODA 1.0, as at Rubin).

One coadd and one stencil a request; of a stencil the pixels of its bounding box are given, cut at the edge.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import ArrayLike

from photoz_archive.images.files import Detail
from photoz_archive.images.observations import CoaddId
from photoz_archive.service.errors import NotFoundError, ServiceError
from photoz_assets.survey.skymap import DC2_RINGS, PixelBox

_STENCILS: Final = ("POS", "CIRCLE", "POLYGON")
PARAMETERS: Final = frozenset({"ID", *_STENCILS, "CUTOUTDETAIL"})
_CIRCLE_NUMBERS: Final = 3
_POLYGON_NUMBERS: Final = 6
_POLE_DEG: Final = 90


class StencilError(ServiceError):
    """The parameters do not say one cutout (the status is that of Rubin's service)."""

    status = 422


@dataclass(frozen=True)
class Cutout:
    """A box of a coadd's pixels, and how much of them."""

    coadd: CoaddId
    box: PixelBox
    detail: Detail


def parse_cutout(sent: Iterable[tuple[str, str]]) -> Cutout:
    """Read the parameters of a request, whose names may have any case.

    Raises
    ------
    StencilError
        They are missing, too many or none that the service knows, or the stencil is off the image.
    NotFoundError
        There is no such image.
    """
    parameters = [(name.upper(), value.strip()) for name, value in sent]
    identifier = _only([value for name, value in parameters if name == "ID"], "ID")
    stencils = [(name, value) for name, value in parameters if name in _STENCILS]
    if len(stencils) != 1:
        raise StencilError(f"{len(stencils)} stencils were given: expected one of {', '.join(_STENCILS)}")
    detail = _only(
        [value for name, value in parameters if name == "CUTOUTDETAIL"] or [Detail.IMAGE], "CUTOUTDETAIL"
    )
    if detail not in list(Detail):
        raise StencilError(f"CUTOUTDETAIL is {detail!r}: expected {', '.join(Detail)}")
    coadd = _coadd_of(identifier)
    box = _stencil_box(coadd, *stencils[0]) & DC2_RINGS.patch_box(coadd.patch)
    if not box:
        raise StencilError(f"the stencil {stencils[0][1]!r} and the image {identifier} do not overlap")
    return Cutout(coadd, box, Detail(detail))


def whole_coadd(identifier: str) -> Cutout:
    """Return all of an image; raises ``NotFoundError`` where there is none."""
    coadd = _coadd_of(identifier)
    return Cutout(coadd, DC2_RINGS.patch_box(coadd.patch), Detail.EXPOSURE)


def _coadd_of(identifier: str) -> CoaddId:
    coadd = CoaddId.parsed(identifier)
    if coadd is None:
        raise NotFoundError(f"there is no image {identifier!r}: ObsCore lists them, in obs_publisher_did")
    return coadd


def _only(values: Sequence[str], name: str) -> str:
    if len(values) != 1:
        raise StencilError(f"{name} was given {len(values)} times: expected it once")
    return values[0]


def _stencil_box(coadd: CoaddId, name: str, value: str) -> PixelBox:
    """Return the pixels around a stencil; it may lie anywhere."""
    shape, text = name, value
    if name == "POS":
        shape, _, text = value.partition(" ")
    build = _BUILDERS.get(shape)
    if build is None:
        raise StencilError(f"{shape!r} is no stencil of this service: expected CIRCLE or POLYGON")
    try:
        numbers = [float(number) for number in text.split()]
    except ValueError:
        raise StencilError(f"{name} is {value!r}: expected numbers, in degrees") from None
    if not np.isfinite(numbers).all() or any(abs(dec) > _POLE_DEG for dec in numbers[1::2]):
        raise StencilError(f"{name} is {value!r}: that is no place on the sky")
    return build(coadd.tract, numbers)


def _circle_box(tract: int, numbers: Sequence[float]) -> PixelBox:
    if len(numbers) != _CIRCLE_NUMBERS or numbers[2] <= 0:
        raise StencilError("a CIRCLE is a right ascension, a declination and a radius above 0, in degrees")
    x, y = DC2_RINGS.sky_to_pixel(tract, *numbers[:2])
    return _around(x, y, numbers[2] * 3600 / DC2_RINGS.pixel_scale_arcsec)


def _polygon_box(tract: int, numbers: Sequence[float]) -> PixelBox:
    if len(numbers) < _POLYGON_NUMBERS or len(numbers) % 2:
        raise StencilError(
            "a POLYGON has three or more corners, each a right ascension and a declination in degrees"
        )
    return _around(*DC2_RINGS.sky_to_pixel(tract, numbers[::2], numbers[1::2]), 0)


def _around(x: ArrayLike, y: ArrayLike, reach: float) -> PixelBox:
    """Return the box of the pixels that positions and what lies so near to them fall into."""
    places = np.reshape([x, y], (2, -1))
    ends = np.array([places.min(axis=1) - reach, places.max(axis=1) + reach])
    if np.isnan(ends).any():
        # Behind the tangent plane.
        return PixelBox(0, 0, 0, 0)
    # Far off the tract the numbers mean nothing, but have to be whole.
    (left, low), (right, high) = np.floor(ends + 0.5).clip(-(10**6), 10**6).astype(int).tolist()
    return PixelBox(left, low, right + 1, high + 1)


_BUILDERS: Final[dict[str, Callable[[int, Sequence[float]], PixelBox]]] = {
    "CIRCLE": _circle_box,
    "POLYGON": _polygon_box,
}
