"""Figures of releases without truth, and of those that reach around the sky."""

import re

import duckdb
import pyarrow as pa
import pytest
from matplotlib.figure import Figure

from photoz_assets.science.figures import Caption, galaxy_figures, sky_map
from photoz_assets.science.figures.sky import Sky
from photoz_assets.science.statistics import band_statistics, sample_summary
from photoz_assets.science.tessellation import patch_table, tract_table, with_unknown
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.contracts.archive import skyinfo_spec
from photoz_assets.survey.contracts.diagnostics import diagnostics_spec
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.queries import skyinfo_count_query, skyinfo_query
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets_tests.dp02 import DP02


@pytest.mark.parametrize(
    ("ra_deg", "shown"),
    [([150.0, 151.0], [150.0, 151.0]), ([5.0, 6.0], [365.0, 366.0]), ([359.5, 0.5], [359.5, 360.5])],
    ids=["as it is", "beyond the zero", "across the zero"],
)
def test_regions_beyond_the_zero_of_right_ascension_are_drawn_in_one_piece(
    ra_deg: list[float], shown: list[float]
) -> None:
    assert list(Sky.on(Figure(), DP2).shown_ra(ra_deg)) == shown


def test_a_wide_sky_names_its_fields_and_a_narrow_one_its_tracts() -> None:
    texts = {}
    for release in (DP1, DP02):
        sky = Sky.on(Figure(), release)
        sky.label(release.tracts[:3])
        texts[release.name] = [text.get_text() for text in sky.axes.texts]
    assert texts["dp1"] == list(DP1.fields)
    assert texts["dp02"] == [str(tract) for tract in DP02.tracts[:3]]


def test_figures_of_galaxies_without_truth_need_none() -> None:
    rows = 200
    spec = matched_galaxies_spec(DP1)
    table = pa.Table.from_pylist(
        [
            {
                "obj_coord_ra": 53.0,
                "obj_coord_dec": -28.0,
                "sz_ra": 53.0,
                "sz_dec": -28.0 + number * 1e-6,
                "sz_redshift": number / 100,
                "sz_distance_arcsec": number / 300,
                **{f"obj_{band}_gaap1p0Flux": 1000.0 + number for band in BANDS},
                **{f"obj_{band}_gaap1p0FluxErr": 10.0 for band in BANDS},
                **{f"obj_{band}_gaap1p0Mag": 23.9 for band in BANDS},
            }
            for number in range(rows)
        ],
        schema=spec.schema,
    )
    galaxies = duckdb.connect().from_arrow(table)
    summary = sample_summary(galaxies, DP1.columns)
    drawn = {
        name: str(figure.get_label())
        for name, figure in galaxy_figures(galaxies, summary, Caption("Tract 5063", "made up", rows, DP1))
    }
    assert list(drawn) == [
        "coordinate_offsets",
        "match_distance",
        "signal_to_noise",
        "redshift_color_gr",
        "redshift_color_iz",
        "redshifts",
    ]
    assert not any(re.search(r"\btrue\b", label) for label in drawn.values())
    assert band_statistics(galaxies, summary, diagnostics_spec(DP1), DP1.columns).num_rows == len(BANDS)


def test_sky_of_patches_whose_objects_are_not_counted_is_drawn_without_counts() -> None:
    spec = skyinfo_spec(DP2)
    assert "FROM dp2.CoaddPatches" in skyinfo_query(DP2)
    assert "GROUP BY" not in skyinfo_query(DP2) + skyinfo_count_query(DP2)
    answered = pa.table(
        {"tract": [9813, 9813], "patch": [0, 1], "meanRA": [150.0, 150.1], "meanDEC": [2.0, 2.0]},
        schema=spec.selected_schema,
    )
    listing = pa.Table.from_batches([with_unknown(batch, spec) for batch in answered.to_batches()])
    assert listing.schema.equals(spec.schema)
    tracts, patches = tract_table(listing, DP2.skymap), patch_table(listing, DP2.skymap)
    assert tracts.column("num_patches").to_pylist() == [2]
    assert tracts.column("num_objects").to_pylist() == [None]
    figure = sky_map(tracts, patches, Caption("1 tract", "made up", 2, DP2))
    label = str(figure.get_label())
    assert "2 patches" in label
    assert "number of objects" not in label
