"""The galaxies as a HATS collection: the sky in HEALPix pixels, each with a margin, as LSDB reads it.

hats-import cuts the tracts' files into the pixels. What it wrote is held against the lake before it is published.
HATS: Caplar et al. 2025, arXiv:2501.02103.
"""

import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import duckdb

from photoz_assets.errors import PhotozError
from photoz_assets.lake.layout import Lake
from photoz_assets.lake.provenance import Provenance, verify_rows
from photoz_assets.lake.staging import atomic_folder
from photoz_assets.lake.tables import open_tables
from photoz_assets.lake.writing import TableRefusedError
from photoz_assets.photoz.exports import RIGHTS_FILE, rights_lines
from photoz_assets.survey.checks import Check, Verdict
from photoz_assets.survey.contracts.galaxies import matched_galaxies_spec
from photoz_assets.survey.galaxy_columns import GalaxyColumns
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.table import Contract
from photoz_assets.text import one_line

PROFILE: Final = "hats"
MARGIN_ARCSEC: Final = 10.0

COLLECTION_CLEAN: Final = Check(
    name="collection_clean",
    description="The collection, read back, holds the rows of the lake's tracts, none lost, none changed and no "
    "object twice, and is what the library of HATS calls valid.",
    blocking=True,
)

# Of the extra; the second reads what the first writes.
_PACKAGES: Final = ("hats_import", "lsdb")
# A pixel with more galaxies is cut into four: a pixel, or a tract, is what is in memory at a time.
PIXEL_ROWS: Final = 500_000
_SECONDS_BETWEEN_LINES: Final = 5.0
# By default, what Dask tells of itself is there for the whole network to see.
_OWN_ADDRESS: Final = "127.0.0.1:0"


class CollectionError(PhotozError):
    """The collection cannot be made."""


@dataclass(frozen=True, kw_only=True)
class WrittenCollection:
    """The published collection: where it lies, its rows and pixels, and what its check found."""

    folder: Path
    rows: int
    pixels: int
    verdict: Verdict


def write_collection(
    lake: Lake,
    release: Release,
    files: Sequence[Path],
    provenance: Provenance,
    log: Callable[[str], None],
) -> WrittenCollection:
    """Write galaxies as a HATS collection into a lake, in the place of the one that was there, or not at all.

    Its catalogue has the columns of the files with their units. The provenance stands in its properties.

    Parameters
    ----------
    lake, release
        Where to, and of which release.
    files
        The tracts' ``matched_galaxies``, one or more; they stay as they are meanwhile.
    provenance
        Where they came from.
    log
        Is told how far it is.

    Raises
    ------
    CollectionError
        The packages of the extra ``hats`` are not installed, or hats-import failed.
    TableRefusedError
        The collection, read back, is not what was to be written; what was there stays.
    InvalidTableFileError
        A file is damaged.
    OSError
        The disk is full or fails.
    """
    _require_installed()
    for path in files:
        # What reads them next looks at no checksum.
        verify_rows(path)
    contract = matched_galaxies_spec(release)
    held, name = _content(files, contract, release.columns), contract.table
    folder = lake.export(PROFILE, name)
    with atomic_folder(lake, folder.parent) as written:
        properties = _properties(release, provenance)
        valid = _import(
            written,
            name,
            files,
            columns=release.columns,
            rows=held.rows,
            properties=properties,
            log=log,
        )
        pixels = sorted((written / name / name).rglob("Npix=*.parquet"))
        verdict = _judge(held, _content(pixels, contract, release.columns), valid=valid)
        if not verdict.passed:
            raise TableRefusedError(f"the collection is refused. {verdict.summary}", [verdict])
        if lines := rights_lines(provenance):
            (written / RIGHTS_FILE).write_text("".join(f"{line}\n" for line in lines))
    return WrittenCollection(folder=folder, rows=held.rows, pixels=len(pixels), verdict=verdict)


def _require_installed() -> None:
    if any(find_spec(name) is None for name in _PACKAGES):
        raise CollectionError(f"{' and '.join(_PACKAGES)} are not installed: pip install 'photoz_assets[hats]'")


@dataclass(frozen=True, kw_only=True)
class _Content:
    """What some files hold: rows, how many of them repeat an object, and the sum of the rows' digests."""

    rows: int
    repeated: int
    digest: int


def _content(files: Iterable[Path], contract: Contract, columns: GalaxyColumns) -> _Content:
    """Return what files hold, in any order, a file at a time.

    An object that is there twice has one position, and thus one tract and one pixel: it is twice in one file.
    """
    names = ", ".join(f'"{name}"' for name in contract.names)
    asked = f'count(*), count(*) - count(DISTINCT "{columns.object_id}"), sum(hash({names})::HUGEINT)'
    connection = duckdb.connect()
    found = [open_tables(connection, [file]).aggregate(asked).fetchall()[0] for file in files]
    rows, repeated, digest = (sum(filter(None, each)) for each in zip(*found, strict=True))
    return _Content(rows=rows, repeated=repeated, digest=digest)


def _judge(held: _Content, found: _Content, *, valid: bool) -> Verdict:
    """Hold what a collection holds against what the lake holds."""
    problems = [
        f"{found.rows:,} rows of {held.rows:,}" if found.rows != held.rows else "",
        f"{found.repeated:,} rows repeat an object" if found.repeated else "",
        "other rows than the lake's" if found.digest != held.digest else "",
        "" if valid else "not valid by hats.io.validation",
    ]
    return Verdict(
        check=COLLECTION_CLEAN.name,
        passed=not any(problems),
        summary="; ".join(filter(None, problems)) or f"{found.rows:,} rows are the lake's",
        numbers={"rows": found.rows, "wanted": held.rows, "repeated": found.repeated},
    )


def _properties(release: Release, provenance: Provenance) -> dict[str, str]:
    """Return what the properties say beside what hats-import does, under the names of HATS where it has one."""
    archive, selection = provenance.archive, provenance.selection
    told = {
        "obs_title": f"{release.title}: {release.galaxies}",
        "obs_description": release.text_of(selection) if selection else "",
        "obs_copyright": "; ".join(rights_lines(provenance)),
        "photoz_assets_release": release.name,
        "photoz_assets_archive": archive.label if archive else "",
        "photoz_assets_provenance": provenance.to_json(),
    }
    # Who reads the file of properties takes a backslash for the beginning of an escape.
    return {name: text.replace("\\", r"\\") for name, text in told.items() if text}


def _import(
    written: Path,
    name: str,
    files: Sequence[Path],
    *,
    columns: GalaxyColumns,
    rows: int,
    properties: dict[str, str],
    log: Callable[[str], None],
) -> bool:
    """Have hats-import write the collection into a folder; return whether the library of HATS calls it valid."""
    from dask.distributed import Client  # noqa: PLC0415 - optional, and slow to load
    from hats.io.validation import is_valid_collection  # noqa: PLC0415 - as above
    from hats_import import CollectionArguments  # noqa: PLC0415 - as above
    from hats_import.pipeline import pipeline_with_client  # noqa: PLC0415 - as above

    scratch = written / "scratch"
    ra, dec = columns.position
    arguments = CollectionArguments(
        output_path=written,
        output_artifact_name=name,
        tmp_dir=scratch,
        resume=False,
        simple_progress_bar=True,
        tqdm_kwargs={
            "file": _Lines(log),
            "bar_format": "{desc} {n_fmt} of {total_fmt}",
            "mininterval": _SECONDS_BETWEEN_LINES,
        },
        addl_hats_properties=properties,
    )
    arguments.catalog(
        input_file_list=list(files),
        file_reader="parquet",
        ra_column=ra,
        dec_column=dec,
        sort_columns=columns.object_id,
        expected_total_rows=rows,
        pixel_threshold=PIXEL_ROWS,
    )
    # By itself it would name the catalogue by the folder in which it is written.
    arguments.add_margin(
        margin_threshold=MARGIN_ARCSEC,
        is_default=True,
        addl_hats_properties={**properties, "primary_catalog": name},
    )
    with Client(
        processes=False,
        n_workers=1,
        threads_per_worker=1,
        memory_limit=0,
        dashboard_address=_OWN_ADDRESS,
        worker_dashboard_address=_OWN_ADDRESS,
        local_directory=scratch,
    ) as client:
        try:
            pipeline_with_client(arguments, client)
        except RuntimeError as error:
            raise CollectionError(
                f"hats-import failed: {one_line(str(error))}: what it printed says why; if the disk is full, free "
                "some space, then materialize again"
            ) from error
    shutil.rmtree(scratch, ignore_errors=True)
    return bool(is_valid_collection(written / name, strict=True))


class _Lines:
    """The file that bars of progress are written to: each state of them is a line of a log."""

    def __init__(self, log: Callable[[str], None]) -> None:
        self._log = log
        self._last = ""

    def write(self, text: str) -> None:
        """Pass a state on, unless it is the last one again."""
        line = " ".join(text.split())
        if line not in ("", self._last):
            self._log(line)
            self._last = line

    def flush(self) -> None:
        """Do nothing: a line is passed on at once."""
