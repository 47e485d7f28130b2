"""A sampling makes sense or is refused, and is told from another by its fingerprint."""

import math
from typing import Any

import pytest

from photoz_assets.survey.sampling import Sampling, SamplingError


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"split_by": "row"}, "split by 'row': it is one of galaxy, patch, tract"),
        ({"fractions": (0.5, 0.5)}, "a share between 0 and 1 for each of training, validation, test"),
        ({"fractions": (0.5, 0.5, 0.0)}, "a share between 0 and 1"),
        ({"fractions": (0.5, math.nan, 0.3)}, "a share between 0 and 1"),
        ({"fractions": (0.5, 0.2, 0.2)}, "must add up to 1"),
        ({"sizes": (100, 0, 100)}, "a positive size"),
        ({"sizes": (100, 100)}, "a positive size for each of training, validation, test, or none"),
        ({"max_true_offset_mag": -0.1}, "keeps no galaxy"),
        ({"max_true_offset_mag": math.nan}, "keeps no galaxy"),
        ({"completeness_limit_mag": math.inf}, "finite"),
        ({"completeness_width_mag": 0.0}, "positive"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_sampling_without_sense_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SamplingError, match=message):
        Sampling(**settings)


@pytest.mark.parametrize(
    "sampling", [Sampling(), Sampling(sizes=None, split_by="patch", completeness_limit_mag=23.0)], ids=str
)
def test_sampling_survives_json(sampling: Sampling) -> None:
    assert Sampling.from_json(sampling.to_json()) == sampling


def test_fingerprints_differ_but_sizes_do_not_decide_on_a_galaxy() -> None:
    small = Sampling(sizes=(10, 10, 10))
    assert small.fingerprint != Sampling().fingerprint
    assert small.of_a_galaxy == Sampling().of_a_galaxy
    assert Sampling(seed=2).of_a_galaxy != Sampling().of_a_galaxy


def test_sampling_says_in_words_what_decides_on_a_galaxy() -> None:
    assert Sampling().text == "seed 1, 0.5 : 0.2 : 0.3 by galaxy, followed up to i = 23, width 0.4"
    assert Sampling(completeness_limit_mag=None).text == "seed 1, 0.5 : 0.2 : 0.3 by galaxy"
    cut = Sampling(extended_only=True, max_true_offset_mag=0.3, completeness_limit_mag=23)
    assert cut.text.endswith("by galaxy, extended, |r - true r| <= 0.3, followed up to i = 23, width 0.4")
