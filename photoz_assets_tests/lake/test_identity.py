"""A lake holds the tables of one archive: told by what it declares, not by the words that it uses."""

from pathlib import Path
from typing import Final

import pyarrow.parquet as pq
import pytest

from photoz_archive.service.server import ArchiveServer
from photoz_assets.ingest.tap_ingest import identify
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import (
    ArchiveIdentity,
    Provenance,
    derived_provenance,
    read_provenance,
    rights_of,
)
from photoz_assets.lake.publishing import ForeignArchiveError
from photoz_assets.lake.staging import publish, stage
from photoz_assets.tap.client import TapClient
from photoz_assets_tests.dp02 import DP02, MATCHED_GALAXIES
from photoz_assets_tests.samples import galaxies

SCHEMA = "dp02_dc2_catalogs"
EMBEDDED = (
    "Embedded archive, simulated: a DC2-like sky (density 0.01, seed 1, version 3) with the tables of DP0.2; "
    "no row of it was observed or is Rubin's."
)
RUBIN = (
    "Data Preview 0.2 contains the image and catalog products of the Rubin Science Pipelines v23 processing of "
    "the DESC Data Challenge 2 simulation, which covered 300 square degrees over 5 years."
)
# As the footers say that were written before the rule that is tested here.
OLD_FOOTER: Final = (
    '{"archive": {"description": "' + EMBEDDED + '", "fingerprint": "798ae836a370", "release": "' + SCHEMA + '"}, '
    '"code_version": "1", "created": "2026-11-26T17:01:35.955+00:00", "table": "matched_galaxies", "tract": 3637}'
)


def declared(description: str, schema: str = SCHEMA) -> ArchiveIdentity:
    return ArchiveIdentity.declared(schema, description, {"Object": "Measured objects"})


def filled(folder: Path, archive: ArchiveIdentity) -> Lake:
    lake = Lake(folder)
    put(lake, Provenance(table="matched_galaxies", code_version="1", tract=3638, archive=archive))
    return lake


def put(lake: Lake, provenance: Provenance) -> None:
    publish(lake, stage(lake, MATCHED_GALAXIES, [galaxies(3)], lambda: provenance))


@pytest.mark.parametrize(
    ("held", "other"),
    [
        (EMBEDDED, RUBIN),
        (RUBIN, EMBEDDED),
        (EMBEDDED, EMBEDDED.replace("density 0.01", "density 0.02")),
        (EMBEDDED, EMBEDDED.replace("density 0.01", "density 1e-05")),
        (EMBEDDED, EMBEDDED.replace("seed 1", "seed 12")),
        (EMBEDDED, ""),
    ],
    ids=["Rubin's", "the embedded one", "another density", "a tiny density", "another seed", "no description"],
)
def test_tract_of_another_declaration_is_refused(tmp_path: Path, held: str, other: str) -> None:
    lake = filled(tmp_path, declared(held))
    with pytest.raises(ForeignArchiveError, match="PHOTOZ_DATA_DIR"):
        put(lake, Provenance(table="matched_galaxies", code_version="1", tract=3639, archive=declared(other)))
    assert lake.tracts("matched_galaxies") == (3638,)


def test_tract_of_another_schema_is_refused(tmp_path: Path) -> None:
    lake = filled(tmp_path, declared(RUBIN))
    with pytest.raises(ForeignArchiveError):
        lake.require_same_archive(declared(RUBIN, "dp1"))


@pytest.mark.parametrize(
    ("held", "other"),
    [
        (EMBEDDED, EMBEDDED.replace("version 3", "version 4")),
        (EMBEDDED, EMBEDDED.replace("DC2-like", "DC2-ish")),
        (RUBIN, RUBIN.replace("contains", "holds")),
        (RUBIN, RUBIN + " The sky is simulated."),
        (RUBIN, ""),
    ],
    ids=["another version of the sky", "another word", "another word of Rubin's", "more words", "no words"],
)
def test_other_words_of_the_same_archive_are_taken_and_told_apart(tmp_path: Path, held: str, other: str) -> None:
    lake = filled(tmp_path, declared(held))
    put(lake, Provenance(table="matched_galaxies", code_version="1", tract=3639, archive=declared(other)))
    assert lake.tracts("matched_galaxies") == (3638, 3639)
    assert declared(held).fingerprint != declared(other).fingerprint


def test_footer_of_before_is_read_by_the_same_rule(tmp_path: Path) -> None:
    lake = Lake(tmp_path)
    put(lake, Provenance.from_json(OLD_FOOTER))
    assert '"fingerprint": "798ae836a370"' in lake.provenance("matched_galaxies", 3637).to_json()
    lake.require_same_archive(declared(EMBEDDED))
    lake.require_same_archive(declared(EMBEDDED.replace("version 3", "version 4")))
    with pytest.raises(ForeignArchiveError):
        lake.require_same_archive(declared(RUBIN))


def test_embedded_archive_declares_its_density_and_its_seed(archive: ArchiveServer) -> None:
    identity = identify(TapClient(archive.url), DP02)
    assert (identity.release, identity.simulated, identity.seed) == (SCHEMA, True, 1)
    assert f"(density {identity.density:g}, seed 1, version " in identity.description
    assert identity.label == "embedded archive, simulated"


@pytest.mark.parametrize(
    ("schema", "description", "label"),
    [
        (SCHEMA, EMBEDDED, "embedded archive, simulated"),
        (SCHEMA, RUBIN, "DC2 simulation"),
        ("dp1", "Data Preview 1 contains the products of LSSTComCam.", "Rubin DP1 (LSSTComCam)"),
        ("dr1", "Data Release 1 contains the products of LSSTCam.", "dr1"),
        ("other", "A mock sky, simulated with seed 7", "other, simulated"),
    ],
)
def test_label_comes_from_the_declaration_or_the_release(schema: str, description: str, label: str) -> None:
    assert declared(description, schema).label == label


def test_rights_and_citation_go_with_the_rows_of_the_release_alone(tmp_path: Path) -> None:
    assert rights_of(DP02, EMBEDDED) == {}
    provenance = Provenance(table="matched_galaxies", code_version="1", **rights_of(DP02, RUBIN))
    path = publish(Lake(tmp_path), stage(Lake(tmp_path), MATCHED_GALAXIES, [galaxies(3)], lambda: provenance))
    stored = read_provenance(path)
    assert (stored.rights, stored.citation) == (DP02.rights, DP02.citation)
    derived = derived_provenance(MATCHED_GALAXIES, run_id="run", source=stored)
    assert (derived.rights, derived.citation) == (DP02.rights, DP02.citation)
    header = pq.read_metadata(path).metadata[b"IVOA.VOTable-Parquet.content"].decode()
    assert f'<INFO name="rights" value="{DP02.rights}" />' in header
    assert '<INFO name="citation" value="LSST Dark Energy Science Collaboration' in header
