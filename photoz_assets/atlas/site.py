"""The atlas as files: what has changed is written, each page whole or not at all, the indexes last.

A tract's page names a digest of all that it is made of; while that stays, neither its rows nor its figures are
looked at again. On this machine figures are hard links of the lake's, since those are replaced and never changed.
"""

import hashlib
import json
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

from PIL import Image, UnidentifiedImageError

from photoz_assets.atlas.facts import AtlasFacts, Standing, TractFacts, band_rows, gather, tract_checks
from photoz_assets.atlas.history import kept_history
from photoz_assets.atlas.pages import (
    INDEX,
    SCRIPT,
    STYLE,
    TRACT_LIST,
    Picture,
    index_page,
    picture_address,
    script,
    style_sheet,
    templates_digest,
    tract_address,
    tract_list_page,
    tract_page,
)
from photoz_assets.lake.durable import make_folder, put_in_place
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.staging import atomic_write
from photoz_assets.survey.releases.release import Release

_FIGURES: Final = "figures"
_TRACTS: Final = "tracts"
# Where a page's digest stands, and how much of the page has to be read to find it.
_DIGEST: Final = re.compile(r'<meta name="photoz-inputs" content="([0-9a-f]+)">')
_HEAD_CHARACTERS: Final = 1_000


@dataclass(frozen=True, kw_only=True)
class BuiltAtlas:
    """What a build wrote: the first page, the tracts whose pages are new, and how many stayed as they were."""

    index: Path
    written: tuple[int, ...]
    kept: int


def build_atlas(
    lake: Lake,
    release: Release,
    standings: Mapping[int, Standing],
    log: Callable[[str], None] = lambda _: None,
) -> BuiltAtlas:
    """Bring the pages of a lake up to date; of several builds at once each waits for the one before.

    Parameters
    ----------
    lake, release
        What is shown, and where the pages go.
    standings
        How each tract stands.
    log
        Takes a line on each thing that happens.

    Raises
    ------
    OSError, duckdb.Error
        The disk is full or fails; each page is the former or the new one.
    """
    lock = lake.locks.acquire("atlas", "the atlas", wait=True)
    try:
        facts = gather(lake, release, standings)
        lake.kept.recall_all(lake.atlas, tract_address("*"))
        _write(lake, STYLE, style_sheet())
        _write(lake, SCRIPT, script())
        written = [tract.tract for tract in facts.tracts if _bring_up_to_date(lake, facts, tract)]
        log(f"{len(written):,} of {len(facts.tracts):,} tracts have a new page")
        _remove_others(lake, release.tracts)
        history = kept_history(lake, facts.entry)
        pictures = {
            asset: _bring_pictures(lake, f"{_FIGURES}/{asset}", files, page_folder="")
            for asset, files in facts.figures.items()
        }
        _write(lake, TRACT_LIST, tract_list_page(facts))
        _write(lake, INDEX, index_page(facts, history, pictures))
    finally:
        if lock is not None:
            lock.release()
    return BuiltAtlas(index=lake.atlas / INDEX, written=tuple(written), kept=len(facts.tracts) - len(written))


def _bring_up_to_date(lake: Lake, facts: AtlasFacts, tract: TractFacts) -> bool:
    """Write a tract's page, unless it is of the same facts; return whether it was written."""
    digest = _digest(facts, tract)
    if _stands_in(lake.atlas / tract_address(tract.tract)) == digest:
        return False
    folder = f"{_TRACTS}/{tract.tract}"
    page = tract_page(
        facts,
        tract,
        digest=digest,
        checks=tract_checks(lake, facts.release, tract),
        bands=band_rows(lake, tract),
        pictures=_bring_pictures(lake, folder, tract.figures, page_folder=folder),
    )
    _write(lake, tract_address(tract.tract), page)
    return True


def _digest(facts: AtlasFacts, tract: TractFacts) -> str:
    """Return a digest of all that a tract's page is made of."""
    numbers = asdict(tract) | {
        "stored": [
            (file.table, file.rows, file.provenance and file.provenance.to_json()) for file in tract.stored
        ],
        "figures": [(*path.parts[-3:], *version) for path, version in tract.figures.items()],
    }
    survey = (
        templates_digest(),
        facts.release.name,
        facts.release.tracts,
        facts.source and (facts.source.archive and facts.source.archive.label, facts.source.rights),
    )
    return hashlib.sha256(json.dumps([survey, numbers], sort_keys=True, default=str).encode()).hexdigest()[:32]


def _stands_in(page: Path) -> str | None:
    """Return the digest that stands in a page; None if there is no such page."""
    with suppress(FileNotFoundError, UnicodeDecodeError), page.open(encoding="utf-8") as file:
        found = _DIGEST.search(file.read(_HEAD_CHARACTERS))
        return found[1] if found else None
    return None


def _write(lake: Lake, address: str, text: str) -> None:
    """Write a file of the atlas, unless it has that text already."""
    path = lake.kept.recall(lake.atlas / address)
    with suppress(FileNotFoundError, UnicodeDecodeError):
        if path.read_text(encoding="utf-8") == text:
            return
    with atomic_write(lake, path) as written:
        written.write_text(text, encoding="utf-8")


def _bring_pictures(lake: Lake, folder: str, figures: Iterable[Path], *, page_folder: str) -> list[Picture]:
    """Bring figures into a folder of the atlas, and remove others; a page of ``page_folder`` shows them."""
    place = lake.atlas / folder
    make_folder(place)
    pictures = []
    for figure in figures:
        # Below figures/, then an asset's folder, and of a tract one more.
        asset = figure.relative_to(lake.root / "figures").parts[0]
        name = f"{asset}-{figure.name}"
        # A figure that was removed meanwhile, or is none, is nothing to show.
        with suppress(FileNotFoundError, UnidentifiedImageError), Image.open(lake.kept.recall(figure)) as image:
            width, height = image.size
            words = str(image.info.get("Description", ""))
            _link(lake, figure, place / name)
            pictures.append(
                Picture(
                    address=picture_address(folder.removeprefix(page_folder).removeprefix("/"), name),
                    name=figure.stem,
                    asset=asset,
                    width=width,
                    height=height,
                    words=words,
                )
            )
    _keep_only(
        lake, place, (f"{figure.relative_to(lake.root / 'figures').parts[0]}-{figure.name}" for figure in figures)
    )
    return pictures


def _link(lake: Lake, figure: Path, place: Path) -> None:
    """Put a figure in its place, as a hard link or, where the disk has none, as a copy."""
    with suppress(FileNotFoundError):
        # A rename between two names of one file does nothing, and leaves both.
        if place.samefile(figure):
            return
    beside = place.with_name(f".{place.name}.{uuid.uuid4().hex}")
    try:
        os.link(figure, beside)
    except FileNotFoundError:
        raise
    except OSError:
        shutil.copyfile(figure, beside)
    lake.kept.keep(beside, place)
    put_in_place(beside, place)


def _keep_only(lake: Lake, folder: Path, names: Iterable[str]) -> None:
    """Remove the pictures of a folder that are no longer in the lake."""
    kept = set(names)
    for path in lake.kept.listed(folder, "*.png"):
        if path.name not in kept:
            lake.kept.drop(path)


def _remove_others(lake: Lake, tracts: Iterable[int]) -> None:
    """Remove the pages of tracts that the release has no longer."""
    kept = {str(tract) for tract in tracts}
    pages = lake.kept.listed(lake.atlas / _TRACTS, f"*/{INDEX}")
    for folder in (page.parent for page in pages):
        if folder.name.isdecimal() and folder.name not in kept:
            lake.kept.drop(folder)
