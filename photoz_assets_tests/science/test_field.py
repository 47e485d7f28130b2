"""A field holds the galaxies of its cone, and reads little else."""

from pathlib import Path

import astropy.units as u
import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from astropy.coordinates import SkyCoord

from photoz_assets.science.field import cut
from photoz_assets.survey.field import Field
from photoz_assets.survey.skymap import DC2_RINGS
from photoz_assets_tests.dp02 import COLUMNS, DP02

CONES = {
    "the seed's": Field(ra_deg=62.0, dec_deg=-37.0, radius_deg=0.5),
    "over the zero of right ascension": Field(ra_deg=0.2, dec_deg=-37.0, radius_deg=0.5),
    "just below 360 degrees": Field(ra_deg=359.9, dec_deg=10.0, radius_deg=0.5),
    "around a pole": Field(ra_deg=120.0, dec_deg=-89.8, radius_deg=0.5),
    "wide and far north": Field(ra_deg=200.0, dec_deg=60.0, radius_deg=20.0),
}


@pytest.mark.parametrize("field", CONES.values(), ids=CONES)
def test_cut_keeps_the_galaxies_whose_separation_is_below_the_radius(field: Field) -> None:
    rng = np.random.default_rng(11)
    centre = SkyCoord(field.ra_deg, field.dec_deg, unit="deg")
    around = centre.directional_offset_by(
        rng.uniform(0, 360, 5000) * u.deg, field.radius_deg * np.sqrt(rng.uniform(0, 1.5, 5000)) * u.deg
    )
    # Many lie where a box that is too tight would lose them: just inside the edge.
    edge = centre.directional_offset_by(np.linspace(0, 360, 720) * u.deg, field.radius_deg * (1 - 1e-9) * u.deg)
    ra = np.concatenate([around.ra.deg, edge.ra.deg])
    dec = np.concatenate([around.dec.deg, edge.dec.deg])
    found = cut(
        field,
        duckdb.connect().from_arrow(pa.table({"ts_ra": ra, "ts_dec": dec, "row": np.arange(len(ra))})),
        COLUMNS,
    )
    expected = np.flatnonzero(SkyCoord(ra, dec, unit="deg").separation(centre).deg < field.radius_deg)
    assert sorted(found.fetchnumpy()["row"]) == expected.tolist()


def test_field_needs_the_tract_of_a_galaxy_that_is_measured_beside_its_cone() -> None:
    border_deg = DC2_RINGS.inner_box(3638).dec_max
    ra_deg, _ = DC2_RINGS.centre(3638)

    def beside(arcsec: float) -> Field:
        """Put a cone so far north of the tract."""
        return Field(ra_deg=ra_deg, dec_deg=border_deg + 0.1 + arcsec / 3600, radius_deg=0.1)

    # Its true position lies in the cone; the measured one, 1.5 arcsec to the south, in the tract.
    galaxy = duckdb.connect().from_arrow(pa.table({"ts_ra": [ra_deg], "ts_dec": [border_deg + 1.2 / 3600]}))
    assert len(cut(beside(1.0), galaxy, COLUMNS).fetchall()) == 1
    assert 3638 in beside(1.0).tracts(DP02.skymap, DP02.tracts)
    assert 3638 not in beside(3.0).tracts(DP02.skymap, DP02.tracts)


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().partition("rchar:")[2].split()[0])


@pytest.mark.skipif(not Path("/proc/self/io").exists(), reason="only Linux counts what a process reads")
def test_cut_reads_only_the_row_groups_that_the_cone_meets(tmp_path: Path) -> None:
    rng = np.random.default_rng(12)
    rows = 200_000
    dec = np.sort(rng.uniform(-38, -36, rows))
    table = pa.table({"ts_ra": rng.uniform(61, 63, rows), "ts_dec": dec, "noise": rng.uniform(size=rows)})
    path = tmp_path / "galaxies.parquet"
    pq.write_table(table, path, row_group_size=rows // 20)
    connection = duckdb.connect()
    before = _bytes_read()
    found = cut(Field(ra_deg=62.0, dec_deg=-37.03, radius_deg=1 / 60), connection.read_parquet(str(path)), COLUMNS)
    assert found.count("*").fetchall()[0][0] > 0
    # A tenth of a degree lies in each row group: the cone meets one of the 20, and the footer is read besides.
    assert _bytes_read() - before < path.stat().st_size / 5
