"""What is made of a tract's table: its audit, its figures, a cone cut out of several; and how it is written."""

from pathlib import Path
from typing import Any

from benchmarks.measurement import Measured


def scan(path: str) -> Measured:
    """Read all columns once in DuckDB, warm."""
    import duckdb

    connection = duckdb.connect(config={"memory_limit": "128MB"})
    connection.read_parquet(path).create_view("stored")
    names = [row[0] for row in connection.sql("DESCRIBE stored").fetchall()]
    every = connection.sql(f"SELECT {', '.join(f'max({name})' for name in names)} FROM stored")
    every.fetchall()

    def run() -> dict[str, Any]:
        every.fetchall()
        return {"bytes": Path(path).stat().st_size}

    return run


def audit(path: str, tract: int, folder: str, warn: bool = True) -> Measured:  # noqa: FBT001, FBT002 - JSON's
    """Hold a tract against its blocking checks and, or not, against those that warn; warm."""
    from photoz_assets.lake.audit import audit as held
    from photoz_assets.survey.checks import Scope
    from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
    from photoz_assets.survey.releases.dp02 import RELEASE
    from photoz_assets.survey.selection import Selection

    scope = Scope(Selection(), tract)
    checks = [check for check in matched_galaxies_spec(RELEASE).checks if warn or check.blocking]
    rules = [check.rule(scope) for check in checks if check.rule is not None]

    def run() -> dict[str, Any]:
        verdicts = held(Path(path), rules, spill=Path(folder) / "spill")
        if failed := [verdict.summary for verdict in verdicts if not verdict.passed]:
            raise RuntimeError(failed)
        return {"rows": verdicts[0].numbers["rows"]}

    run()
    return run


def copies(path: str, number: int, copy: str) -> Measured:
    """Write a table of several copies of a tract's, each galaxy with keys of its own."""
    import duckdb

    from photoz_assets.lake.staging import ROW_GROUP_ROWS

    def run() -> dict[str, Any]:
        keys = (
            "(hash(mt_match_objectId, copy) >> 1)::BIGINT AS mt_match_objectId, "
            "mt_id_truth_type || '_' || copy AS mt_id_truth_type"
        )
        rows = duckdb.connect(config={"memory_limit": "512MB"}).sql(
            f"SELECT * EXCLUDE copy REPLACE ({keys}) FROM '{path}', range({number}) AS copies(copy)"
        )
        rows.write_parquet(copy, compression="zstd", row_group_size=ROW_GROUP_ROWS)
        return {"bytes": Path(copy).stat().st_size}

    return run


def pandas_default(path: str, folder: str) -> Measured:
    """Write a tract's table as pandas does by default."""
    import pandas as pd

    frame = pd.read_parquet(path)

    def run() -> dict[str, Any]:
        written = Path(folder) / "pandas.parquet"
        frame.to_parquet(written)
        return {"bytes": written.stat().st_size}

    return run


def figures(path: str, folder: str) -> Measured:
    """Count, sum up and draw the six figures of a tract."""
    import duckdb
    import pandas as pd  # noqa: F401 - what the first array would load is not the measurement's

    from photoz_assets.science.figures import Caption, galaxy_figures, save
    from photoz_assets.science.statistics import sample_summary
    from photoz_assets.survey.releases.dp02 import RELEASE

    _load_fonts()

    def run() -> dict[str, Any]:
        galaxies = duckdb.connect().read_parquet(path)
        summary = sample_summary(galaxies, RELEASE.columns)
        caption = Caption("Benchmark", "embedded archive, simulated", summary.num_galaxies, RELEASE)
        for name, figure in galaxy_figures(galaxies, summary, caption):
            save(figure, Path(folder) / f"{name}.png")
        return {"rows": summary.num_galaxies}

    return run


def _load_fonts() -> None:
    """Draw a first, empty figure: it loads fonts, as an import does modules."""
    from io import BytesIO

    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure()
    figure.add_subplot(xscale="log")
    FigureCanvasAgg(figure).print_figure(BytesIO())


def sheet(folder: str) -> Measured:
    """Make the contact sheet of the six figures and its thumbnail."""
    from photoz_assets.science.figures import contact_sheet, figures_of, thumbnail_markdown
    from photoz_assets.survey.releases.dp02 import RELEASE

    def run() -> dict[str, Any]:
        made = Path(folder) / "sheet.png"
        contact_sheet([Path(folder) / f"{name}.png" for name in figures_of(RELEASE.columns)], made)
        return {"bytes": len(thumbnail_markdown(made))}

    return run


def scatter(path: str, folder: str) -> Measured:
    """Draw the notebook's six figures in its sizes and with its markers, a point for each galaxy.

    Saved at the resolution of ours, whose figures are larger.
    """
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt
    import numpy as np
    import pandas as pd
    from matplotlib.figure import Figure

    from photoz_assets.science.figures.png import DPI
    from photoz_assets.survey.bands import BAND_COLORS, BAND_SYMBOLS, BANDS

    _load_fonts()

    def save(figure: Figure, name: str) -> None:
        figure.tight_layout()
        figure.savefig(Path(folder) / f"scatter-{name}.png", dpi=DPI)
        plt.close(figure)

    def run() -> dict[str, Any]:
        data = pd.read_parquet(path)
        figure, axes = plt.subplots(figsize=(4, 4))
        axes.plot(
            3600 * (data.ts_ra - data.obj_coord_ra), 3600 * (data.ts_dec - data.obj_coord_dec), "o", ms=2, mew=0
        )
        save(figure, "offsets")
        figure, axes = plt.subplots(figsize=(4, 4))
        axes.plot(data.ts_mag_r, data.obj_r_cModelMag, "o", ms=4, alpha=0.2, mew=0)
        axes.set(xlim=(18, 30), ylim=(18, 30))
        save(figure, "magnitudes")
        figure, panels = plt.subplots(2, 3, figsize=(10, 7))
        for band, axes in zip(BANDS, panels.flat, strict=True):
            true, measured = data[f"ts_flux_{band}"], data[f"obj_{band}_cModelFlux"]
            axes.plot(true, measured, BAND_SYMBOLS[band], color=BAND_COLORS[band], alpha=0.1, mew=0)
            axes.loglog()
            axes.set(xlim=(0.1, 1e6), ylim=(0.1, 1e6))
        save(figure, "fluxes")
        for blue, red in ("gr", "iz"):
            figure, panels = plt.subplots(1, 2, figsize=(8, 4))
            for axes, flux, magnitude in zip(
                panels, ("ts_flux_{}", "obj_{}_cModelFlux"), ("ts_mag_r", "obj_r_cModelMag"), strict=True
            ):
                with np.errstate(divide="ignore", invalid="ignore"):
                    color = -2.5 * np.log10(data[flux.format(blue)] / data[flux.format(red)])
                axes.plot(color, data[magnitude], "o", alpha=0.1, ms=2, mew=0)
                axes.set(xlim=(-2, 4), ylim=(30, 18))
            save(figure, blue + red)
        figure, axes = plt.subplots(figsize=(6, 3))
        axes.hist(data.ts_redshift, bins=50, range=(0, 3.5))
        save(figure, "redshifts")
        return {"rows": len(data)}

    return run


def cone(lake: str, radius_deg: float) -> Measured:
    """Cut a cone out of all tracts of a lake, all columns."""
    import duckdb

    from photoz_assets.science.field import cut
    from photoz_assets.survey.field import Field
    from photoz_assets.survey.releases.dp02 import RELEASE

    field = Field(ra_deg=62.0, dec_deg=-37.0, radius_deg=radius_deg)
    pattern = f"{lake}/matched_galaxies/*/*.parquet"
    duckdb.connect().read_parquet(pattern).limit(1).fetchall()

    def run() -> dict[str, Any]:
        before = _bytes_read()
        galaxies = duckdb.connect().read_parquet(pattern)
        rows = cut(field, galaxies, RELEASE.columns).to_arrow_table()
        return {"rows": rows.num_rows, "bytes": _bytes_read() - before}

    return run


def cone_floor(lake: str, radius_deg: float) -> Measured:
    """Read just those row groups that the cone's box meets, all columns, in DuckDB."""
    import duckdb
    import pyarrow.parquet as pq

    half = radius_deg / 0.79  # cos(-37 deg)
    needed: dict[Path, list[int]] = {}
    for path in Path(lake).glob("matched_galaxies/*/*.parquet"):
        with pq.ParquetFile(path) as file:
            for number in range(file.num_row_groups):
                group = file.metadata.row_group(number)
                limits = {
                    group.column(index).path_in_schema: group.column(index).statistics
                    for index in range(group.num_columns)
                }
                ra, dec = limits["ts_ra"], limits["ts_dec"]
                if (
                    ra.min < 62 + half
                    and ra.max > 62 - half
                    and dec.min < -37 + radius_deg
                    and dec.max > -37 - radius_deg
                ):
                    needed.setdefault(path, []).append(number)
    only = Path(lake) / "needed.parquet"
    groups = 0
    with pq.ParquetWriter(
        only, pq.read_schema(next(iter(needed))), compression="zstd", use_dictionary=False
    ) as writer:
        for path, numbers in needed.items():
            for number in numbers:
                writer.write_table(pq.ParquetFile(path).read_row_group(number))
                groups += 1
    duckdb.connect().read_parquet(str(only)).limit(1).fetchall()

    def run() -> dict[str, Any]:
        before = _bytes_read()
        rows = duckdb.connect().read_parquet(str(only)).to_arrow_table()
        return {"rows": rows.num_rows, "bytes": _bytes_read() - before, "row_groups": groups}

    return run


def _bytes_read() -> int:
    return int(Path("/proc/self/io").read_text().partition("rchar:")[2].split()[0])


TABLES = {
    function.__name__: function
    for function in (scan, audit, copies, pandas_default, figures, sheet, scatter, cone, cone_floor)
}
