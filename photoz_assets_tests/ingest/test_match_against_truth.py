"""How pure and complete the match of a simulated tract is, and whether ``chance_matches`` expects what is false.

The simulation knows of which object each redshift is, as no real release does. In ``make soak`` fields of all
kinds are matched, deep and shallow ones, with six bands and fewer, until far more than a hundred pairs are false.
"""

import math
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import duckdb
import pyarrow as pa

from photoz_archive.sky.redshift_file import write_redshifts
from photoz_archive.sky.redshifts import redshifts_of, true_objects
from photoz_archive.sky.store import SkyStore
from photoz_assets.ingest.matched_tract import TractMatch, match_stored
from photoz_assets.ingest.redshift_files import RedshiftFiles, read_redshifts
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, read_rows, run_versions
from photoz_assets.lake.writing import write_rows
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.contracts.objects import objects_spec
from photoz_assets.survey.contracts.specz import SPECZ
from photoz_assets.survey.matching import Matching
from photoz_assets.survey.releases.dp1 import RELEASE as DP1
from photoz_assets.survey.releases.release import Spectroscopic
from photoz_assets.survey.selection import Selection
from photoz_assets_tests.effort import Progress, effort
from photoz_assets_tests.reliability.records import SoakRecord, note_soak
from photoz_assets_tests.spectroscopic import ARCHIVE, store_objects

# Of Fornax, quickly made. In the soak, of each field that has galaxies: two of ECDFS, EDFS, SV 95, SV 38, Fornax
# and 47 Tuc; each is drawn twice.
TRACTS: Final = effort((4217,), (5063, 4849, 2234, 5525, 10463, 10464, 4217, 453))
SEEDS: Final = effort((1,), (1, 2))
RADII_ARCSEC: Final = effort((1.0,), (0.5, 0.75, 1.0))
LEAST_FALSE: Final = effort(10, 100)


@dataclass
class Quality:
    """What a match within a radius has found: its pairs, the false ones, and how many the check expects.

    ``findable`` are the objects inside the cuts that have a redshift of their own, ``found`` those that got it.
    """

    pairs: int = 0
    false: int = 0
    expected: float = 0.0
    findable: int = 0
    found: int = 0

    @property
    def purity(self) -> float:
        return 1 - self.false / self.pairs

    @property
    def completeness(self) -> float:
        return self.found / self.findable


@dataclass(frozen=True)
class Tract:
    """A tract's objects and redshifts in a lake, with the object that each redshift truly is of."""

    lake: Lake
    tract: int
    specz: Path
    provenance: Provenance
    true: dict[str, int | None]
    objects: frozenset[int]

    def add_to(self, quality: Quality, radius_arcsec: float) -> None:
        """Match within a radius, and count."""
        release = replace(DP1, redshifts=Spectroscopic(matching=Matching(radius_arcsec=radius_arcsec)))
        wanted = TractMatch(release=release, tract=self.tract, selection=Selection(), specz=self.specz)
        spec = matched_galaxies_spec(release)
        provenance = replace(
            self.provenance, table=spec.table, code_version=spec.code_version, matching=release.matching
        )
        table = match_stored(self.lake, wanted, self.lake.table("objects", self.tract), provenance)
        rows = read_rows(table.path)
        objects, ids = (rows.column(name).to_pylist() for name in ("obj_objectId", "sz_id"))
        false = sum(self.true[redshift] != found for found, redshift in zip(objects, ids, strict=True))
        [share] = [
            verdict.numbers["expected_false_share"]
            for verdict in table.verdicts
            if verdict.check == "chance_matches"
        ]
        assert isinstance(share, float)
        with closing(duckdb.connect()) as connection:
            wanted.read(connection)
            counted = [row[0] for row in connection.execute("SELECT sz_id FROM redshifts").fetchall()]
        quality.pairs += rows.num_rows
        quality.false += false
        quality.expected += share * rows.num_rows
        quality.findable += len({self.true[redshift] for redshift in counted} & self.objects)
        quality.found += rows.num_rows - false


def _objects_inside_cuts(store: SkyStore, tract: int) -> pa.Table:
    """Return the tract's objects as the archive would answer the query for them."""
    spec, [file] = objects_spec(DP1), store.files("Object", [tract])
    conditions = (*DP1.sample, *Selection().flux_cuts(DP1.objects.photometry))
    columns = ", ".join(f'obj.{name.removeprefix("obj_")} AS "{name}"' for name in spec.names)
    sql = f"SELECT {columns} FROM read_parquet('{file}') AS obj WHERE "
    with closing(duckdb.connect()) as connection:
        rows = connection.sql(sql + " AND ".join(each.adql for each in conditions)).to_arrow_table()
    return rows.cast(spec.schema)


def _stored(folder: Path, store: SkyStore, tract: int) -> Tract:
    lake = Lake(folder / "lake")
    store.ensure([tract])
    objects = _objects_inside_cuts(store, tract)
    store_objects(lake, objects, tract=tract)
    file = folder / "specz.parquet"
    write_redshifts(file, store, [tract])
    provenance = Provenance(
        table="specz",
        code_version=SPECZ.code_version,
        archive=ARCHIVE,
        selection=Selection(),
        run_id="made up",
        **run_versions(),
    )
    specz = write_rows(lake, SPECZ, [read_redshifts(RedshiftFiles(paths=(file,)), DP1).rows], provenance)
    true = true_objects(store, redshifts_of(store, [tract]), [tract])
    return Tract(
        lake=lake,
        tract=tract,
        specz=specz.path,
        provenance=replace(provenance, tract=tract),
        true=dict(zip(true["CRD_ID"].to_pylist(), true["objectId"].to_pylist(), strict=True)),
        objects=frozenset(objects["obj_objectId"].to_pylist()),
    )


def test_as_many_matches_are_false_as_chance_matches_expects(
    sky_folder: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    started = time.monotonic()
    found = {radius: Quality() for radius in RADII_ARCSEC}
    progress = Progress(tell, "tracts matched", len(SEEDS) * len(TRACTS))
    for seed in SEEDS:
        store = SkyStore(sky_folder / "sky", release=DP1, density=1.0, seed=seed)
        for tract in TRACTS:
            stored = _stored(tmp_path / f"{seed}-{tract}", store, tract)
            for radius, quality in found.items():
                stored.add_to(quality, radius)
            progress.step()
    for radius, quality in found.items():
        assert quality.false >= LEAST_FALSE
        allowed = max(0.2 * quality.false, 2 * math.sqrt(quality.false))
        assert abs(quality.expected - quality.false) < allowed, f"{radius}: {quality}"
        assert quality.purity > 0.98
        assert quality.completeness > 0.99
        note_soak(
            SoakRecord(
                f"redshifts matched within {radius:g} arcsec",
                f"{len(TRACTS)} tracts of DP1 at density 1, twice: {quality.pairs:,} pairs",
                f"purity {quality.purity:.2%}, completeness {quality.completeness:.2%}; {quality.false:,} false, "
                f"{quality.expected:,.0f} expected",
            ),
            started,
        )
