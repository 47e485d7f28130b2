"""One selection gives the query's bounds and the checks' limits, or is refused."""

import math

import pytest

from photoz_assets.survey.releases.release import CMODEL
from photoz_assets.survey.selection import Selection, SelectionError


def test_default_flux_bounds_are_the_published_ones() -> None:
    assert Selection().flux_bounds_njy == (144.5439770745925, 575439.9373371566)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"bright_limit_mag": 26.0, "faint_limit_mag": 17.0}, "bright limit must be the smaller"),
        ({"bright_limit_mag": 20.0, "faint_limit_mag": 20.0}, "no magnitude lies inside"),
        ({"faint_limit_mag": math.nan}, "finite"),
        ({"bright_limit_mag": -math.inf}, "finite"),
        ({"bands": ("g", "w")}, "unknown band 'w'"),
        ({"bands": ("g", "g")}, "once"),
        ({"bands": ()}, "once"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_selection_without_sense_is_refused(settings: dict[str, float], message: str) -> None:
    with pytest.raises(SelectionError, match=message):
        Selection(**settings)  # type: ignore[arg-type]  # wrong values are what is tested


def test_cuts_stand_alike_in_adql_and_in_the_stored_columns() -> None:
    selection = Selection(bright_limit_mag=18, faint_limit_mag=24.5, bands=("r", "z"))
    faint, bright = selection.flux_bounds_njy
    assert (faint, bright) == pytest.approx((10**2.76, 10**5.36), rel=1e-14)
    assert [cut.adql for cut in selection.flux_cuts(CMODEL)] == [
        f"obj.r_cModelFlux > {faint!r}",
        f"obj.r_cModelFlux < {bright!r}",
        f"obj.z_cModelFlux > {faint!r}",
        f"obj.z_cModelFlux < {bright!r}",
    ]
    assert [cut.sql for cut in selection.magnitude_cuts(CMODEL)] == [
        '"obj_r_cModelMag" > 18',
        '"obj_r_cModelMag" < 24.5',
        '"obj_z_cModelMag" > 18',
        '"obj_z_cModelMag" < 24.5',
    ]


def test_selection_survives_json_and_another_has_another_fingerprint() -> None:
    selection = Selection(bands=("i",))
    assert Selection.from_json(selection.to_json()) == selection
    assert selection.fingerprint != Selection().fingerprint
