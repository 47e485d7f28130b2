"""The token is found nowhere after runs that failed in every way, and nothing that comes in is taken for code."""

import logging
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import dagster as dg
import pyarrow as pa
import pytest
from dagster._core.test_utils import environ

import photoz_assets
from photoz_archive.main import main as archive_main
from photoz_archive.service.faults import Faults
from photoz_archive.service.server import ArchiveServer
from photoz_assets.commands.cli import main
from photoz_assets.definitions import build_definitions
from photoz_assets.lake.layout import Lake
from photoz_assets.orchestration.resources import SelectionResource
from photoz_assets.survey.queries import Dialect, matched_galaxies_query
from photoz_assets.survey.selection import SelectionError
from photoz_assets.tap.retry import RetryPolicy
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES
from photoz_assets_tests.reliability.proxy import (
    CAPABILITIES,
    PHASE,
    POLL,
    RESULT,
    SUBMIT,
    Change,
    Fault,
    FaultyProxy,
    Forward,
)
from photoz_assets_tests.reliability.records import FaultRecord, note
from photoz_assets_tests.reliability.world import CANARY, TRACT, World
from photoz_assets_tests.runs import Runs
from photoz_assets_tests.tap.documents import error_document
from photoz_assets_tests.tap.faulty_server import Answer, Request, certified
from photoz_assets_tests.tap.uws import job_document

SOUGHT = FaultRecord(
    "Security", "the archive shows the token in whatever it answers",
    "statuses, bodies, pages, redirects, job documents and results that quote it; runs that fail, and one that succeeds",
    "0 hits in lake, event log, output, logs and job records",
)  # fmt: skip
TYPED = FaultRecord(
    "Security", "ADQL, SQL, HTML and paths in what a user gives", "bands of the selection, tract keys, the name of the lake's folder",
    "refused before anything is asked; the folder is read as any other",
)  # fmt: skip
DOWNGRADED = FaultRecord(
    "Security", "redirect from https to http", "the result lies at an http address",
    "recovered; the token goes over https alone", retries=0, jobs=1,
)  # fmt: skip
DETOUR = FaultRecord(
    "Security", "redirect to another address and back", "the result lies at the archive's own address after a detour",
    "recovered; the token goes no further than the redirect that leads away", retries=0, jobs=1,
)  # fmt: skip
FAULTS = [SOUGHT.fault, TYPED.fault, DOWNGRADED.fault, DETOUR.fault]


def quoting(status: int, text: str, **headers: str) -> Answer:
    """Answer with the token in it."""
    return Answer(
        status=status,
        body=text.format(token=CANARY).encode(),
        headers={name: value.format(token=CANARY) for name, value in headers.items()},
    )


def _in_the_middle(_: Request, forward: Forward) -> Answer:
    body = forward().body
    return Answer(body=body[:30_000] + CANARY.encode() + body[30_000:])


WAYS = [
    Fault(CAPABILITIES, quoting(401, "no such token: {token}")),
    Fault(CAPABILITIES, quoting(503, "<html>{token}</html>", Location="http://127.0.0.1:9/{token}")),
    Fault(CAPABILITIES, quoting(302, "", Location="http://127.0.0.1:9/login?token={token}")),
    Fault(SUBMIT, Answer(body=error_document("x" * 180 + CANARY + " has no right"))),
    Fault(SUBMIT, quoting(400, "y" * 190 + "{token}")),
    Fault(POLL, Answer(body=job_document("ERROR", error=f"token {CANARY} expired"))),
    Fault(POLL, quoting(200, "this is {token} and no job")),
    Fault(PHASE, quoting(500, "{token}")),
    Fault(RESULT, _in_the_middle),
    Fault(RESULT, quoting(200, '<VOTABLE><FIELD name="{token}" datatype="int"/>')),
    Fault(RESULT, quoting(302, "", Location="ftp://127.0.0.1/{token}")),
]


def hits(folder: Path) -> list[str]:
    """Find the files that hold the token, or its beginning."""
    return [
        str(path)
        for path in folder.rglob("*")
        if path.is_file() and CANARY[:12].encode() in path.read_bytes() + path.name.encode()
    ]


@pytest.mark.slow
def test_token_is_found_nowhere_after_runs_that_failed_in_every_way(
    world: World,
    one_tract: ArchiveServer,
    tmp_path: Path,
    *,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(RetryPolicy, "delay_seconds", lambda *_, **__: None)
    caplog.set_level(logging.DEBUG)
    home = tmp_path / "home"
    home.mkdir()
    runs = Runs(f"{world.proxy.base}/tap", world.lake.root)
    outcomes = []
    named = {"PHOTOZ_TAP_TOKEN": CANARY, "PHOTOZ_TAP_URL": runs.url}
    with environ(named), dg.DagsterInstance.local_temp(str(home)) as instance:
        runs.instance = instance
        for way in WAYS:
            world.proxy.faults = [way]
            outcomes.append(runs("matched_galaxies", tract=TRACT).success)
        world.proxy.faults = []
        one_tract.faults = Faults(error_text=f"{CANARY} is not a column")
        outcomes.append(runs("matched_galaxies", tract=TRACT).success)
        one_tract.faults = Faults()
        outcomes.append(runs("matched_galaxies", tract=TRACT).success)
    assert outcomes == [False] * (len(WAYS) + 1) + [True]
    sent = {request.headers.get("Authorization") for request in world.proxy.requests}
    assert f"Bearer {CANARY}" in sent
    assert list(home.rglob("*.db")), "the event log lies in files"
    assert hits(tmp_path) == []
    output = capfd.readouterr()
    for text in (output.out, output.err, caplog.text):
        assert CANARY[:12] not in text
    (tmp_path / "planted").write_text(f"Bearer {CANARY}")
    assert hits(tmp_path) == [str(tmp_path / "planted")], "the search finds what is there"
    note(SOUGHT)


@pytest.fixture
def secured(
    world: World, one_tract: ArchiveServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[FaultyProxy]:
    """Put a proxy that speaks https before the archive, in place of the other; give that other."""
    if shutil.which("openssl") is None:
        pytest.skip("needs openssl to make a certificate")
    tls = certified(tmp_path)
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "cert.pem"))
    plain = world.proxy
    with FaultyProxy(one_tract.url).running(tls) as proxy:
        assert isinstance(proxy, FaultyProxy)
        world.proxy = proxy
        yield plain


def _authorizations(proxy: FaultyProxy) -> list[str | None]:
    return [request.headers.get("Authorization") for request in proxy.requests]


def _leads_to(proxy: FaultyProxy) -> Change:
    """Redirect to the same path elsewhere."""
    return lambda request, _: Answer(status=302, headers={"Location": f"{proxy.base}{request.path}"})


def test_token_goes_over_https_alone(world: World, secured: FaultyProxy, truth: pa.Table) -> None:
    world.proxy.faults = [Fault(RESULT, _leads_to(secured))]
    outcome = world.refresh()
    assert outcome.error is None
    assert world.rows().equals(truth)
    assert set(_authorizations(world.proxy)) == {f"Bearer {CANARY}"}
    assert _authorizations(secured) == [None]
    assert CANARY not in str(secured.requests)
    note(replace(DOWNGRADED, retries=outcome.retries, jobs=world.proxy.jobs))


def test_token_does_not_come_back_after_a_detour(world: World, secured: FaultyProxy, truth: pa.Table) -> None:
    world.proxy.faults = [Fault(RESULT, _leads_to(secured), times=1)]
    secured.faults = [Fault(RESULT, _leads_to(world.proxy))]
    outcome = world.refresh()
    assert outcome.error is None
    assert world.rows().equals(truth)
    assert [request.headers.get("Authorization") for request in world.proxy.asked_for(RESULT)] == [
        f"Bearer {CANARY}",
        None,
    ]
    assert _authorizations(secured) == [None]
    note(replace(DETOUR, retries=outcome.retries, jobs=world.proxy.jobs))


@pytest.mark.parametrize("band", ["g OR 1=1", "g; DROP TABLE x", "g'--", "../g", "<b>g</b>", ""])
def test_selection_lets_no_words_into_a_query(band: str) -> None:
    with pytest.raises(SelectionError):
        SelectionResource(bands=[band]).selection()
    note(TYPED)


@pytest.mark.parametrize("tract", ["3638 OR 1=1", "../../etc", "3638; --"])
def test_tract_that_is_no_number_reaches_neither_query_nor_path(tract: str) -> None:
    with pytest.raises((ValueError, TypeError)):
        Lake(Path("/lake")).table("matched_galaxies", tract)  # type: ignore[arg-type]  # that is the attempt
    with pytest.raises((ValueError, TypeError)):
        matched_galaxies_query(DP02, tract, SelectionResource().selection(), Dialect())  # type: ignore[arg-type]  # as above
    note(TYPED)


def test_lake_in_a_folder_of_any_name_is_read(world: World, tmp_path: Path) -> None:
    from photoz_assets import connect  # noqa: PLC0415

    named = tmp_path / "a'; DROP TABLE x; -- \"<b>"
    world.lake.root.rename(named)
    assert connect(named).view("matched_galaxies").columns[: len(MATCHED_GALAXIES.names)] == [
        *MATCHED_GALAXIES.names
    ]
    note(TYPED)


@pytest.mark.parametrize(("command", "name"), [(main.commands["ui"], "host"), (archive_main, "host")])
def test_page_and_archive_listen_on_loopback_by_default(command: object, name: str) -> None:
    [option] = [each for each in getattr(command, "params", []) if each.name == name]
    assert option.default == "127.0.0.1"


def test_no_pickle_is_read() -> None:
    readers = re.compile(
        r"^\s*(import|from) (pickle|dill|cloudpickle|joblib|marshal|shelve)\b|allow_pickle", re.MULTILINE
    )
    for path in Path(photoz_assets.__file__).parent.rglob("*.py"):
        assert readers.search(path.read_text()) is None, path


def test_every_asset_is_kept_by_the_lake_which_knows_no_pickle() -> None:
    definitions = build_definitions()
    kept = {key for asset in definitions.assets or () for key in getattr(asset, "required_resource_keys", ())}
    assert "io_manager" in kept
    assert type(definitions.resources["io_manager"]).__name__ == "LakeIOManager"  # type: ignore[index]  # it has some
