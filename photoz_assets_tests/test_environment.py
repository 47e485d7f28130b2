"""The settings: the caller wins over `.env`, the defaults lie in the checkout, a wrong value says so."""

import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import AliasChoices
from requests.utils import get_environ_proxies

from photoz_assets import environment
from photoz_assets.environment import (
    SettingError,
    Settings,
    StoreUrl,
    checkout_root,
    load_env_file,
    settings,
    spare_loopback,
)
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.releases import release_named

PHOTOZ = Path(sys.executable).with_name("photoz")


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith("PHOTOZ_") or name in {"ACCESS_TOKEN", "DAGSTER_HOME"}:
            monkeypatch.delenv(name)


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment that is put back as it was, whatever a `.env` file brought."""
    monkeypatch.setattr(os, "environ", os.environ.copy())


def _table() -> Iterator[tuple[str, str, str]]:
    """What the docs say of each variable: its name, what it sets and its default; without links."""
    text = (checkout_root() / "docs" / "settings.md").read_text()
    for name, sets, default in re.findall(r"^\| `([A-Z_]+)` \| (.+) \| (.+) \|$", text, re.MULTILINE):
        yield name, re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", sets), default


def _default(value: object) -> str:
    if value is None:
        return "none"
    return f"`{value.relative_to(checkout_root())}/`" if isinstance(value, Path) else f"`{value}`"


def test_docs_list_every_setting_with_what_it_sets_and_its_default() -> None:
    declared = []
    for name, field in Settings.model_fields.items():
        assert isinstance(field.validation_alias, AliasChoices)
        variable = str(field.validation_alias.choices[0])
        declared.append((variable, str(field.description), _default(getattr(settings(), name))))
    assert sorted(_table()) == sorted(declared)


@pytest.mark.usefixtures("own_environment")
def test_caller_wins_over_env_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(
        "PHOTOZ_TAP_URL=http://from-file/tap\nPHOTOZ_ARCHIVE_DENSITY=0.5\nPHOTOZ_DATA_DIR=\nOTHER='of the file'\n"
    )
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", "0.02")
    load_env_file(tmp_path)
    assert settings().tap_url == "http://from-file/tap"
    assert settings().archive_density == 0.02
    assert settings().data_dir == checkout_root() / "data"
    assert os.environ["OTHER"] == "of the file", "what is no setting of ours is for the processes that we start"


@pytest.mark.usefixtures("own_environment")
def test_empty_variable_counts_as_unset_and_wins_over_env_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / ".env").write_text("PHOTOZ_TAP_URL=http://from-file/tap\n")
    monkeypatch.setenv("PHOTOZ_TAP_URL", "")
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", "")
    load_env_file(tmp_path)
    assert settings().tap_url is None
    assert settings().archive_density is None


@pytest.mark.usefixtures("own_environment")
@pytest.mark.parametrize(
    "given", [{}, {"NO_PROXY": "one.example"}, {"no_proxy": "one.example, two.example"}, {"NO_PROXY": "*"}]
)
def test_no_proxy_is_asked_for_this_machine_and_for_what_was_excepted_before(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"http_proxy": "http://127.0.0.1:9", **given}.items():
        monkeypatch.setenv(name, value)
    spare_loopback()
    for host in ("127.0.0.1", "localhost", "[::1]"):
        assert get_environ_proxies(f"http://{host}:3000/", no_proxy=None) == {}
    assert bool(get_environ_proxies("http://one.example/", no_proxy=None)) == (not given)


def test_env_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"PHOTOZ_DATA_DIR=gr\xf6\xdfe\n")
    with pytest.raises(SettingError, match=re.escape(str(tmp_path / ".env"))):
        load_env_file(tmp_path)


def test_home_folder_that_there_is_not_is_told_with_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    def nobody(_: int) -> None:
        raise KeyError

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.setenv("PHOTOZ_DATA_DIR", "~/lake")
    with pytest.raises(SettingError, match=r"^PHOTOZ_DATA_DIR must be .*there is no home folder"):
        settings()


def test_folders_are_absolute_and_know_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PHOTOZ_DATA_DIR", "~/lake")
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DIR", "archive")
    assert settings().data_dir == tmp_path / "home" / "lake"
    assert settings().archive_dir == tmp_path / "archive"


@pytest.mark.parametrize("text", ["much", "0", "1.5", "nan", "inf"])
def test_density_without_sense_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PHOTOZ_ARCHIVE_DENSITY", text)
    with pytest.raises(SettingError, match=f"^PHOTOZ_ARCHIVE_DENSITY must be a number above 0 .*'{text}'"):
        settings()


@pytest.mark.parametrize("variable", ["PHOTOZ_DATA_DIR", "PHOTOZ_ARCHIVE_DIR", "DAGSTER_HOME"])
@pytest.mark.parametrize(
    "text", ["s3://bucket/lake", "GS://bucket/lake", "file:///data/lake", "~no-such-user/lake"]
)
def test_folder_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, variable: str, text: str) -> None:
    # Where the extra s3 is installed, the lake may lie at s3://.
    monkeypatch.setattr("photoz_assets.environment.find_spec", lambda _: None)
    monkeypatch.setenv(variable, text)
    with pytest.raises(SettingError, match=f"^{variable} must be a folder on this machine.*{text}"):
        settings()


def test_lake_in_a_store_is_named_where_its_clients_are_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_DATA_DIR", "s3://bucket/a/lake/")
    monkeypatch.setattr("photoz_assets.environment.find_spec", lambda name: name)
    assert settings().data_dir == StoreUrl("bucket", "a/lake")
    assert str(settings().data_dir) == "s3://bucket/a/lake"
    monkeypatch.setenv("PHOTOZ_DATA_DIR", "gs://bucket/a/lake")
    assert settings().data_dir == StoreUrl("bucket", "a/lake", "gs")
    assert str(settings().data_dir_of(release_named("dp1"))) == "gs://bucket/a/lake-dp1"
    monkeypatch.setattr("photoz_assets.environment.find_spec", lambda name: None if name == "obstore" else name)
    with pytest.raises(SettingError, match=r"needs obstore: install photoz_assets\[s3\]"):
        settings()


@pytest.mark.parametrize("text", ["nonsense", "ftp://127.0.0.1/tap", "data.lsst.cloud/api/tap"])
def test_tap_url_that_is_none_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setenv("PHOTOZ_TAP_URL", text)
    with pytest.raises(SettingError, match=f"^PHOTOZ_TAP_URL must be an http or https URL.*{text}"):
        settings()


def test_question_mark_in_dagsters_folder_is_refused_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    for setting in ("/data/why?", "below/why?"):
        monkeypatch.setenv("DAGSTER_HOME", setting)
        with pytest.raises(SettingError, match=r"^DAGSTER_HOME must be .*why"):
            settings()


@pytest.mark.parametrize("setting", [None, "relative"], ids=["by default", "below the current folder"])
def test_question_mark_above_dagsters_folder_is_refused_by_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, setting: str | None
) -> None:
    current = tmp_path / "why?"
    current.mkdir()
    monkeypatch.chdir(current)
    monkeypatch.setattr("photoz_assets.environment.checkout_root", lambda: current)
    if setting:
        monkeypatch.setenv("DAGSTER_HOME", setting)
    with pytest.raises(SettingError, match=r"^DAGSTER_HOME must be "):
        settings()


def test_token_falls_back_to_the_archives_own_name_and_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = "theirs", "ours"
    monkeypatch.setenv("ACCESS_TOKEN", theirs)
    assert settings().tap_token == theirs
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", "")
    assert settings().tap_token == theirs
    monkeypatch.setenv("PHOTOZ_TAP_TOKEN", ours)
    assert settings().tap_token == ours
    assert ours not in repr(settings())


@pytest.mark.parametrize("module", ["photoz_assets.commands.cli", "photoz_assets.lake.layout"])
def test_what_must_answer_at_once_does_not_wait_for_the_library_of_settings(module: str) -> None:
    asked = f"import sys, {module}; sys.exit('pydantic_settings' in sys.modules)"
    subprocess.run([sys.executable, "-c", asked], check=True, cwd=checkout_root())


def test_taken_port_ends_the_ui_with_one_line(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ended = subprocess.run(
            [str(PHOTOZ), "ui", "--port", str(port)],
            env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "DAGSTER_HOME": str(tmp_path / "home")},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert ended.returncode != 0
    assert ended.stderr.count("\n") == 1
    assert f"127.0.0.1:{port}" in ended.stderr
    assert f"--port {port + 1}" in ended.stderr


def test_release_comes_with_the_photometry_and_the_radius_that_are_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PHOTOZ_RELEASE", "dp1")
    usual = environment.release()
    assert (usual.objects.photometry.kind, usual.columns.flux("i")) == ("gaap1p0", "obj_i_gaap1p0Flux")
    monkeypatch.setenv("PHOTOZ_PHOTOMETRY", "cModel")
    monkeypatch.setenv("PHOTOZ_MATCH_RADIUS", "0.5")
    chosen = environment.release()
    assert chosen is environment.release()
    assert (chosen.columns.flux("i"), chosen.columns.flag("i")) == ("obj_i_cModelFlux", "obj_i_cModel_flag")
    assert chosen.matching is not None
    assert chosen.matching.radius_arcsec == 0.5
    # Other tables than those of the usual photometry, by their columns' order.
    assert objects_spec(chosen).fingerprint != objects_spec(usual).fingerprint
    monkeypatch.setenv("PHOTOZ_PHOTOMETRY", "psf")
    with pytest.raises(SettingError, match=r"PHOTOZ_PHOTOMETRY must be .* it is 'psf': DP1 has gaap1p0, cModel"):
        environment.release()


def test_files_of_redshifts_are_named_with_colons_between_them(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert environment.specz() == ()
    monkeypatch.setenv("PHOTOZ_SPECZ", f"{tmp_path}/a.csv:{tmp_path}/b.fits")
    assert environment.specz() == (tmp_path / "a.csv", tmp_path / "b.fits")
