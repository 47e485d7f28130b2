"""The pages as HTML: what is known, put into the templates. All texts are escaped, whoever wrote them.

A page says nothing of when it was made: the same facts give the same bytes.
"""

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import PurePosixPath
from typing import Any, Final
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined

from photoz_assets.atlas.facts import AtlasFacts, HeldCheck, TractFacts
from photoz_assets.atlas.history import FILE, QualityEntry
from photoz_assets.atlas.sky import WIDTH, SkyMap
from photoz_assets.lake.provenance import Provenance
from photoz_assets.photoz.quality import TARGETS
from photoz_assets.science.palette import MISSING, SHADES, STATE_COLORS
from photoz_assets.survey.contracts.redshifts import DEGRADED
from photoz_assets.survey.releases.release import Release

INDEX: Final = "index.html"
TRACT_LIST: Final = "tracts/index.html"
STYLE: Final = "atlas.css"
SCRIPT: Final = "atlas.js"

_UNKNOWN: Final = "\N{EN DASH}"
_MINUS: Final = "\N{MINUS SIGN}"
# Numbers in the tracts of a wider map would lie on each other.
_WIDEST_WITH_NUMBERS_DEG: Final = 60.0
_LOCATOR_RADIUS_DEG: Final = 2.2
# Metrics that are shown over refreshes, what they are called, and what cosmology asks for (``TARGETS``).
_PLOTTED: Final[Mapping[str, tuple[str, float | None]]] = {
    "bias": ("Bias", 0.003),
    "smad": ("Scatter", 0.05),
    "outliers_fixed": ("Outliers", 0.10),
    "pit_ks": ("PIT distance", None),
}
_PLOTTED_REFRESHES: Final = 60
_SECTIONS: Final[Mapping[str, Sequence[str]]] = {
    "redshifts": ("photoz_quality",),
    "survey": ("survey_diagnostics", "sky_map"),
    "field": ("field_image", "field_diagnostics", "deep_coadd"),
}


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A figure as a page shows it: its address from the page, its size in pixels and its words."""

    address: str
    name: str
    asset: str
    width: int
    height: int
    words: str


@dataclass(frozen=True, kw_only=True)
class Colouring:
    """A way to colour the tracts: by a number, in equal steps from the least to the most, light to dark."""

    key: str
    title: str
    unit: str
    digits: int
    values: Mapping[int, float]

    @property
    def legend(self) -> tuple[str, str]:
        """The least and the most value in words."""
        if not self.values:
            return _UNKNOWN, _UNKNOWN
        return _fixed(min(self.values.values()), self.digits), _fixed(max(self.values.values()), self.digits)

    def shade(self, tract: int) -> str:
        """Return the class of a tract's shade; empty for a tract without a value."""
        if tract not in self.values:
            return ""
        low, high = min(self.values.values()), max(self.values.values())
        share = (self.values[tract] - low) / (high - low) if high > low else 0.5
        return f"{self.key}{min(int(share * len(SHADES)), len(SHADES) - 1)}"


@dataclass(frozen=True, kw_only=True)
class Plot:
    """A metric over refreshes: points with chance errors as an SVG has them, and its scale in words."""

    title: str
    points: Sequence[tuple[float, float, float, float]]
    path: str
    target: float | None
    low: str
    high: str


PLOT_WIDTH: Final = 320.0
PLOT_HEIGHT: Final = 150.0
_PLOT_MARGIN: Final = 14.0


def number(value: float | None) -> str:
    """Return a count with thousands apart."""
    return _UNKNOWN if value is None else f"{value:,}"


def fixed(value: float | None, digits: int = 2) -> str:
    """Return a number with so many digits after the point."""
    return _UNKNOWN if value is None or not math.isfinite(value) else _fixed(value, digits)


def _fixed(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", _MINUS)


def measured(row: Mapping[str, Any], name: str, digits: int = 4) -> str:
    """Return a metric with its chance error."""
    if row[name] is None:
        return _UNKNOWN
    return f"{_fixed(row[name], digits)} \N{PLUS-MINUS SIGN} {_fixed(row[f'{name}_error'], digits)}"


def moment(text: str | None) -> str:
    """Return a moment in ISO 8601 as people write it, in UTC."""
    if text is None:
        return _UNKNOWN
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M} UTC"


def words(name: str) -> str:
    """Return the name of a figure or a table as words."""
    return name.replace("_", " ").strip().capitalize() if len(name) > 1 else name


@cache
def _templates() -> Environment:
    made = Environment(
        loader=PackageLoader("photoz_assets.atlas"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"number": number, "fixed": fixed, "moment": moment, "words": words}
    made.globals |= {"measured": measured, "width": WIDTH, "states": STATE_COLORS}
    return made


@cache
def templates_digest() -> str:
    """Return a digest of all templates: pages that were made by others are made anew."""
    loader = _templates().loader
    names = _templates().list_templates()
    sources = [loader.get_source(_templates(), name)[0] for name in names] if loader else []
    return hashlib.sha256("\0".join(sources).encode()).hexdigest()[:16]


def style_sheet() -> str:
    """Return the style sheet of all pages."""
    return _templates().get_template("atlas.css").render(shades=SHADES, missing=MISSING)


def script() -> str:
    """Return the script of the first page, which works without it."""
    return _templates().get_template("atlas.js").render()


def tract_address(tract: int | str) -> str:
    """Return the address of a tract's page from the first page; a star stands for any tract."""
    return f"tracts/{tract}/{INDEX}"


def colourings(facts: AtlasFacts) -> list[Colouring]:
    """Return the ways to colour the tracts besides their state."""

    def of(key: str, title: str, unit: str, digits: int, values: Iterable[tuple[int, float | None]]) -> Colouring:
        known = {tract: value for tract, value in values if value is not None}
        return Colouring(key=key, title=title, unit=unit, digits=digits, values=known)

    tracts = facts.tracts
    return [
        of(
            "n",
            "Density",
            "galaxies per deg\N{SUPERSCRIPT TWO}",
            0,
            ((each.tract, each.density) for each in tracts),
        ),
        of("d", "Depth", "r at 5 sigma, AB mag", 2, ((each.tract, each.depth) for each in tracts)),
        of("q", "Photo-z scatter", "of the test galaxies", 3, ((each.tract, each.scatter) for each in tracts)),
    ]


def index_page(
    facts: AtlasFacts, history: Sequence[QualityEntry], pictures: Mapping[str, Sequence[Picture]]
) -> str:
    """Return the first page.

    Parameters
    ----------
    facts
        Of the lake.
    history
        The quality of the redshifts, the oldest first.
    pictures
        The figures of the survey and the field, by their assets.
    """
    sky, ways = SkyMap.of_release(facts.release), colourings(facts)
    shapes = sky.shapes()
    window = facts.release.window
    counts = {state: sum(each.standing.status == state for each in facts.tracts) for state in STATE_COLORS}
    area = sum(each.area_deg2 for each in facts.held)
    shown = {
        name: [each for asset in assets for each in pictures.get(asset, ())] for name, assets in _SECTIONS.items()
    }
    placed = {asset for assets in _SECTIONS.values() for asset in assets}
    shown["other"] = [each for asset, found in pictures.items() if asset not in placed for each in found]
    return (
        _templates()
        .get_template("index.html")
        .render(
            **_common(facts, to_root=""),
            facts=facts,
            height=sky.height,
            graticule=sky.graticule(),
            places=sky.places() if window.ra_max - window.ra_min > _WIDEST_WITH_NUMBERS_DEG else [],
            numbered=window.ra_max - window.ra_min <= _WIDEST_WITH_NUMBERS_DEG,
            ways=ways,
            regions=[
                {
                    "tract": each.tract,
                    "shape": shapes[each.tract],
                    "address": tract_address(each.tract),
                    "classes": " ".join(
                        filter(None, [each.standing.status, *(way.shade(each.tract) for way in ways)])
                    ),
                    "words": _tract_words(each),
                }
                for each in facts.tracts
            ],
            counts={state: count for state, count in counts.items() if count},
            galaxies=sum(each.galaxies or 0 for each in facts.held),
            area=area,
            quality=[
                row for row in facts.quality if row["bins_of"] in {"all", "gold"} and row["smad"] is not None
            ],
            quality_words=_quality_words,
            overall=history[-1] if history else None,
            targets=TARGETS,
            plots=_plots(history),
            plot_width=PLOT_WIDTH,
            plot_height=PLOT_HEIGHT,
            history=list(reversed(history)),
            history_file=FILE,
            pictures=shown,
            origin=_origin(facts.release, facts.source),
            redshift_origin=_redshift_origin(facts.quality_source),
        )
    )


def tract_list_page(facts: AtlasFacts) -> str:
    """Return the list of all tracts."""
    return _templates().get_template("tracts.html").render(**_common(facts, to_root="../"), tracts=facts.tracts)


def tract_page(
    facts: AtlasFacts,
    tract: TractFacts,
    *,
    digest: str,
    checks: Sequence[HeldCheck],
    bands: Sequence[Mapping[str, Any]],
    pictures: Sequence[Picture],
) -> str:
    """Return a tract's page.

    Parameters
    ----------
    facts, tract
        Of the lake, and of the tract.
    digest
        Of all that the page is made of; it stands in its head.
    checks, bands
        Its checks, and its statistics, a row a band.
    pictures
        Its figures.
    """
    locator = SkyMap.around(facts.release, tract.tract, _LOCATOR_RADIUS_DEG)
    order = [each.tract for each in facts.tracts]
    place = order.index(tract.tract)
    return (
        _templates()
        .get_template("tract.html")
        .render(
            **_common(facts, to_root="../../", source=tract.provenance() or facts.source),
            digest=digest,
            tract=tract,
            locator=locator,
            shapes=locator.shapes(),
            before=order[place - 1] if place else None,
            after=order[place + 1] if place + 1 < len(order) else None,
            checks=checks,
            bands=bands,
            pictures=pictures,
            origin=_origin(facts.release, tract.provenance()),
            readers=_readers(tract),
        )
    )


def _common(facts: AtlasFacts, *, to_root: str, source: Provenance | None = None) -> dict[str, Any]:
    """Return what all pages say: of what they are, whose it is, and where their style lies."""
    of = source or facts.source
    archive = of.archive if of else None
    return {
        "root": to_root,
        "release": facts.release,
        "label": archive.label if archive else None,
        "simulated": archive is not None and (archive.simulated or archive.made_up),
        "rights": of.rights if of else None,
        "citation": of.citation if of else None,
    }


def _tract_words(tract: TractFacts) -> str:
    """Return what is told of a tract on the map."""
    told = [
        f"{number(tract.galaxies)} galaxies" if tract.galaxies is not None else "",
        f"{_fixed(tract.density, 0)} per deg\N{SUPERSCRIPT TWO}" if tract.density is not None else "",
        f"r depth {_fixed(tract.depth, 2)}" if tract.depth is not None else "",
        f"photo-z scatter {_fixed(tract.scatter, 3)}" if tract.scatter is not None else "",
    ]
    return ", ".join([f"Tract {tract.tract}: {tract.standing.status}", *filter(None, told)])


def _quality_words(row: Mapping[str, Any]) -> str:
    """Return of which galaxies a row of the table of quality is."""
    galaxies = "All test galaxies" if row["bins_of"] == "all" else f"Gold sample, i < {row['high']:g}"
    weighted = ", weighted to all objects" if row["stands_for"] != "themselves" else ""
    return f"{galaxies}{weighted}{', degraded training set' if row['fit'] == DEGRADED else ''}"


def _origin(release: Release, source: Provenance | None) -> list[tuple[str, str]]:
    """Return where rows came from, as pairs of a word and what it is."""
    if source is None:
        return []
    archive, files = source.archive, source.redshift_files
    told = [
        ("Archive", archive.label if archive else None),
        ("It says of itself", archive.description if archive else None),
        ("Release", f"{release.title}, {release.label}"),
        ("Selection", release.text_of(source.selection) if source.selection else None),
        ("Redshifts from", ", ".join(str(file.get("name", "")) for file in files) or None),
        ("Training sets", source.sampling.text if source.sampling else None),
        ("Made", moment(source.created) if source.created else None),
        ("By run", source.run_id),
        ("With", ", ".join(f"{name} {version}" for name, version in sorted(source.versions.items())) or None),
    ]
    return [(name, text) for name, text in told if text]


def _redshift_origin(source: Provenance | None) -> list[tuple[str, str]]:
    if source is None:
        return []
    told = [
        ("Estimator", source.estimator),
        ("Test set", source.sampling.text if source.sampling else None),
        ("From", source.region),
        ("Judged", moment(source.created) if source.created else None),
    ]
    return [(name, text) for name, text in told if text]


def _readers(tract: TractFacts) -> list[tuple[str, str]]:
    """Return the line that reads a tract's galaxies in each tool, from the lake's folder."""
    path = next(
        (file.path for file in tract.stored if file.rows is not None and file.table == "matched_galaxies"), None
    )
    if path is None:
        return []
    return [
        ("DuckDB", f"import duckdb; galaxies = duckdb.sql(\"FROM '{path}'\")"),
        ("pandas", f'import pandas; galaxies = pandas.read_parquet("{path}")'),
        ("Polars", f'import polars; galaxies = polars.read_parquet("{path}")'),
        (
            "astropy",
            f'from astropy.table import Table; galaxies = Table.read("{path}", format="parquet.votable")',
        ),
    ]


def _plots(history: Sequence[QualityEntry]) -> list[Plot]:
    """Return the plots of the metrics over the last refreshes; none of fewer than two."""
    shown = history[-_PLOTTED_REFRESHES:]
    return (
        [_plot(shown, name, title, target) for name, (title, target) in _PLOTTED.items()] if len(shown) > 1 else []
    )


def _plot(entries: Sequence[QualityEntry], name: str, title: str, target: float | None) -> Plot:
    values = [(entry.metrics[name], entry.errors[name]) for entry in entries]
    ends = [end for value, error in values for end in (value - error, value + error)] + [0.0]
    ends += [] if target is None else [target]
    low, high = min(ends), max(ends)
    span = (high - low) or 1.0

    def down(value: float) -> float:
        return round(PLOT_HEIGHT - _PLOT_MARGIN - (value - low) / span * (PLOT_HEIGHT - 2 * _PLOT_MARGIN), 1)

    step = (PLOT_WIDTH - 2 * _PLOT_MARGIN) / (len(values) - 1)
    points = [
        (round(_PLOT_MARGIN + place * step, 1), down(value), down(value - error), down(value + error))
        for place, (value, error) in enumerate(values)
    ]
    return Plot(
        title=title,
        points=points,
        path=" ".join(f"{x},{y}" for x, y, _, _ in points),
        target=None if target is None else down(target),
        low=_fixed(low, 3),
        high=_fixed(high, 3),
    )


def picture_address(folder: str, file: str) -> str:
    """Return the address of a figure in a folder of the atlas, with what addresses may not hold quoted."""
    return quote(str(PurePosixPath(folder) / file))
