"""A release is a value: what is made of one follows it, and nothing outside ``survey`` knows one by name."""

import re
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pytest
import yaml
from click.testing import CliRunner

from photoz_assets import environment
from photoz_assets.commands.cli import main
from photoz_assets.commands.workspace import workspace_of
from photoz_assets.definitions import build_definitions, tables_of
from photoz_assets.environment import SettingError
from photoz_assets.science.field import cut
from photoz_assets.survey.bands import BANDS
from photoz_assets.survey.field import Field
from photoz_assets.survey.galaxy_columns import Photometry
from photoz_assets.survey.matching import Matching, MatchingError
from photoz_assets.survey.queries import Dialect, matched_galaxies_query, skyinfo_query
from photoz_assets.survey.releases import UnknownReleaseError, label_of, release_named, release_names
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.dp2 import RELEASE as DP2
from photoz_assets.survey.releases.release import ButlerNames, ObjectTable, Release, Truth
from photoz_assets.survey.selection import Condition, Selection
from photoz_assets.survey.skymap import LSST_CELLS_V1, SkyBox
from photoz_assets_tests.dp02 import DP02

PACKAGE = Path(__file__).parents[2] / "photoz_assets"

MADE_UP = Release(
    name="madeup",
    title="a made-up release",
    label="a sky that nobody saw",
    schema="made_up_catalogs",
    skymap=LSST_CELLS_V1,
    tracts=(3637, 3638),
    window=SkyBox(ra_min=50.0, ra_max=70.0, dec_min=-45.0, dec_max=-30.0),
    fields={"only": Field(ra_deg=60.0, dec_deg=-37.0, radius_deg=0.3)},
    objects=ObjectTable(
        real=pa.float32(), primary=None, photometry=Photometry(kind="gaap1p0", flag_name="gaapFlux_flag")
    ),
    redshifts=Truth(matches="Matches", truths="Truths"),
    galaxies="galaxies",
    butler=ButlerNames(collections=("made/up",), skymap="cells", objects="object", matches="matches"),
    rights="everyone",
    citation="Nobody, unpublished",
    density=0.02,
)


def test_queries_and_columns_follow_a_made_up_release() -> None:
    adql = matched_galaxies_query(MADE_UP, 3638, Selection(), Dialect())
    assert "FROM made_up_catalogs.Matches AS mt JOIN made_up_catalogs.Truths AS ts" in adql
    assert "JOIN made_up_catalogs.Object AS obj" in adql
    assert " obj.g_gaap1p0Flux > 144.5439770745925 AND " in adql
    assert "cModel" not in adql
    assert "detect_isPrimary" not in adql
    assert skyinfo_query(MADE_UP).endswith("FROM made_up_catalogs.Object GROUP BY tract, patch")
    galaxies = tables_of(MADE_UP)["matched_galaxies"]
    assert galaxies.schema.field("obj_r_gaap1p0Flux").type == pa.float32()
    assert galaxies.schema.field("obj_coord_ra").type == pa.float64()
    assert {"obj_r_gaap1p0Mag", "obj_r_gaapFlux_flag"} <= set(galaxies.names)
    assert "obj_detect_isPrimary" not in galaxies.names


def test_assets_of_a_made_up_release_are_prefixed_and_have_its_tracts() -> None:
    definitions = build_definitions(release=MADE_UP)
    graph = definitions.resolve_asset_graph()
    prefixed = {key.path[0] for key in graph.materializable_asset_keys}
    assert prefixed == {"madeup"}
    galaxies = graph.get(dg.AssetKey(["madeup", "matched_galaxies"]))
    assert galaxies.partitions_def is not None
    assert galaxies.partitions_def.get_partition_keys() == ["3637", "3638"]
    diagnostics = graph.get(dg.AssetKey(["madeup", "diagnostics"]))
    assert diagnostics.parent_keys == {dg.AssetKey(["madeup", "matched_galaxies"])}
    demo = definitions.resolve_job_def("demo").asset_layer.executable_asset_keys
    assert set(demo) <= graph.materializable_asset_keys
    checks = {check.asset_key.path[0] for check in graph.asset_check_keys}
    assert checks == {"madeup"}


def test_one_release_has_bare_keys() -> None:
    assert [name for name in release_names() if release_named(name).bare_keys] == ["dp02"]
    graph = build_definitions(release=DP02).resolve_asset_graph()
    assert all(len(key.path) == 1 for key in graph.materializable_asset_keys)


def test_field_is_cut_by_the_roles_of_the_columns() -> None:
    galaxies = duckdb.connect().sql(
        "SELECT 60.125::DOUBLE AS spec_ra, -37::DOUBLE AS spec_dec UNION ALL SELECT 61, -37"
    )
    columns = replace(MADE_UP.columns, reference_position=("spec_ra", "spec_dec"))
    assert cut(MADE_UP.field, galaxies, columns).fetchall() == [(60.125, -37.0)]


def test_release_is_read_when_it_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOTOZ_RELEASE", raising=False)
    assert environment.release() is DP02
    assert environment.archive_density() is None
    monkeypatch.setenv("PHOTOZ_RELEASE", "dp99")
    with pytest.raises(SettingError, match=r"PHOTOZ_RELEASE must be the name of a release.*'dp99'.*dp02"):
        environment.release()
    refused = CliRunner().invoke(main, ["status"])
    assert refused.exit_code == 1
    assert "PHOTOZ_RELEASE" in refused.output


@pytest.mark.parametrize(
    ("release", "tracts", "side", "demo"),
    [
        (DP1, 29, 10, (4848, 4849, 5062, 5063, 5064)),
        (DP2, 178, 10, (9569, 9570, 9571, 9812, 9813, 9814, 10054, 10055, 10056)),
    ],
    ids=["dp1", "dp2"],
)
def test_releases_of_the_observed_sky_are_as_published(
    release: Release, tracts: int, side: int, demo: tuple[int, ...]
) -> None:
    """Tracts of DP1 by RTN-095; of DP2, those within half a field of view of its fields."""
    assert len(release.tracts) == tracts
    assert list(release.tracts) == sorted(set(release.tracts))
    assert release.skymap.patches_per_side == side
    assert release.field.tracts(release.skymap, release.tracts) == demo
    window = release.window
    for field in release.fields.values():
        assert field.tracts(release.skymap, release.tracts)
        assert window.contains(field.ra_deg, field.dec_deg)
    assert set(release.extinction) == set(BANDS)
    assert release.sample == (Condition("obj.refExtendedness", "IS NOT NULL"),)
    assert release.tables == {"obj": f"{release.name}.Object"}
    assert "doi:10.71929/rubin/" in release.citation
    assert label_of(release.schema.upper()) == release.label


def test_every_tract_of_dp1_is_of_one_of_its_fields_but_two() -> None:
    reached = {tract for field in DP1.fields.values() for tract in field.tracts(DP1.skymap, DP1.tracts)}
    assert set(DP1.tracts) - reached == {10221, 10222}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"radius_arcsec": 0.0}, "above 0 and be at most 5 arcsec, got 0"),
        ({"radius_arcsec": float("nan")}, "got nan"),
        ({"radius_arcsec": 60.0}, "got 60"),
        ({"types": ()}, "name each type of redshift once"),
        ({"types": ("s", "s")}, "name each type of redshift once"),
        ({"types": ("x",)}, "unknown type of redshift 'x': they are s, g, p"),
        ({"least_grade": 5}, "least grade must be 0 to 4, got 5"),
        ({"least_redshift": -0.1}, "least redshift must be a number of at least 0, got -0.1"),
    ],
)
def test_matching_that_makes_no_sense_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(MatchingError, match=re.escape(message)):
        Matching(**wrong)


def test_matching_is_read_as_it_was_written() -> None:
    matching = Matching(radius_arcsec=0.5, types=("s",), least_grade=4)
    assert Matching.from_json(matching.to_json()) == matching


def test_unknown_release_is_refused_with_those_that_there_are() -> None:
    with pytest.raises(UnknownReleaseError, match=r"no release '\.\./x': it is one of dp02"):
        release_named("../x")
    assert label_of("DP02_DC2_catalogs") == DP02.label
    assert label_of("made_up_catalogs") == "made_up_catalogs"


def test_nothing_outside_the_survey_names_a_release_a_schema_or_a_column_of_the_truth() -> None:
    # The default of PHOTOZ_RELEASE, and the URL that the example of a setting shows.
    allowed = {"environment.py"}
    words = re.compile(
        r"\bdp0?\d\w*|\bDP0?\d|\bDC2|\bts_(?:ra|dec|redshift|flux|mag|truth)|TruthSummary\b", re.IGNORECASE
    )
    found = [
        f"{path.relative_to(PACKAGE)}: {line.strip()}"
        for path in sorted(PACKAGE.rglob("*.py"))
        if "survey" not in path.relative_to(PACKAGE).parts and path.name not in allowed
        for line in path.read_text().splitlines()
        if words.search(line)
    ]
    assert found == []


def test_each_release_has_a_lake_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("PHOTOZ_RELEASE", raising=False)
    monkeypatch.delenv("PHOTOZ_DATA_DIR", raising=False)
    root = environment.checkout_root()
    assert environment.settings().data_dir_of(DP02) == environment.data_dir() == root / "data"
    assert environment.settings().data_dir_of(MADE_UP) == root / "data-madeup"
    monkeypatch.setenv("PHOTOZ_DATA_DIR", str(tmp_path / "lake"))
    assert environment.settings().data_dir_of(DP02) == tmp_path / "lake"
    assert environment.settings().data_dir_of(MADE_UP) == tmp_path / "lake-madeup"


def test_workspace_of_releases_has_a_code_location_for_each(tmp_path: Path) -> None:
    made = workspace_of([*release_names(), DP02.name], tmp_path)
    entries = [entry["python_module"] for entry in yaml.safe_load(made.read_text())["load_from"]]
    assert [entry["location_name"] for entry in entries] == list(release_names())
    for entry in entries:
        location = getattr(import_module(entry["module_name"]), entry["attribute"])
        lake = location.resources["lake"].of_location()
        assert lake.root == environment.settings().data_dir_of(release_named(entry["attribute"]))
    with pytest.raises(UnknownReleaseError):
        workspace_of(["dp99"], tmp_path)
    assert workspace_of([], tmp_path) == environment.checkout_root() / "workspace.yaml"
