"""The store of simulated rows: Parquet files of each tract, made when they are first needed.

A tract is a folder of three files, objects, truths and what matches them, that appears whole by a rename or not
at all. The lock of a tract keeps two processes from making it twice; the kernel drops it with the process, so
that a killed maker leaves nothing but a folder that nobody reads and the next maker of the tract removes.
"""

import os
import shutil
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from photoz_archive.files import flush, locked, make_folder, put_in_place
from photoz_archive.sky.columns import MATCHES_TRUTH, TRUTH_SUMMARY
from photoz_archive.sky.matching import match, match_table, truth_table
from photoz_archive.sky.measurement import measure
from photoz_archive.sky.objects import Objects, describe, object_table
from photoz_archive.sky.primary_objects import PrimaryObjects
from photoz_archive.sky.random_streams import TractSimulation
from photoz_archive.sky.recipe import recipe_of
from photoz_archive.sky.truth import Sources, draw_overlap, draw_truths
from photoz_assets.survey.releases import dp02
from photoz_assets.survey.releases.release import Release

# Changes when the rows that a seed and a density give change.
SKY_VERSION: Final = "4"

TABLES: Final = ("Object", "TruthSummary", "MatchesTruth")

_ROWS_PER_GROUP: Final = 65_536
# What a tract costs in time at any density.
_TRACT_OVERHEAD_SECONDS: Final = 0.1


class SkyStore:
    """The rows of a simulated sky below a folder, keyed by seed, density and version.

    Parameters
    ----------
    folder
        Where the rows of all skies lie; made when the first tract is.
    release
        The release whose sky it is.
    density
        The share of the real source density, in (0, 1]; by default the release's.
    seed
        The same seed gives the same rows.
    tracts
        The tracts that the sky has, of those that the release has; by default all of them.

    Raises
    ------
    ValueError
        The density is out of range, the seed is negative, or the release lacks one of the tracts.
    """

    def __init__(
        self,
        folder: Path,
        *,
        release: Release = dp02.RELEASE,
        density: float | None = None,
        seed: int = 1,
        tracts: tuple[int, ...] | None = None,
    ) -> None:
        density = release.density if density is None else density
        if not 0 < density <= 1:
            raise ValueError(f"density is {density}: it must be above 0 and at most 1, which is the real one")
        if seed < 0:
            raise ValueError(f"seed is {seed}: it must not be negative")
        if foreign := sorted(set(tracts or ()) - set(release.tracts)):
            raise ValueError(f"{release.title} has no objects in tracts {foreign}")
        self.release = release
        self.density = density
        self.seed = seed
        self.tracts = release.tracts if tracts is None else tuple(sorted(set(tracts)))
        self._recipe = recipe_of(release)
        # One tract at a time: a full one takes 2 GB while it is made, and both cores.
        self._turn = threading.Lock()
        own = folder if release is dp02.RELEASE else folder / release.name
        self._folder = own / f"seed={seed},density={density!r},version={SKY_VERSION}"

    def ensure(self, tracts: Iterable[int], *, on_made: Callable[[int], None] | None = None) -> None:
        """Make those of the tracts that are missing.

        Parameters
        ----------
        on_made
            Is told of each tract that this call has made.

        Raises
        ------
        ValueError
            The sky lacks one of the tracts.
        OSError
            The rows cannot be written.
        """
        for tract in self._missing(tracts):
            if self._make(tract) and on_made is not None:
                on_made(tract)

    def files(self, table: str, tracts: Iterable[int]) -> list[Path]:
        """List the files that hold a table's rows of some tracts.

        Raises
        ------
        ValueError
            The sky lacks the table or one of the tracts.
        FileNotFoundError
            One of the tracts has not been made.
        """
        if table not in TABLES:
            raise ValueError(f"there is no table {table}: the sky has {', '.join(TABLES)}")
        if missing := self._missing(tracts := tuple(tracts)):
            raise FileNotFoundError(f"tracts {missing} have not been made")
        return [self._tract_folder(tract) / f"{table}.parquet" for tract in self._known(tracts)]

    def forget(self, tract: int) -> None:
        """Remove a tract's rows, if they are there; whoever asks for them has the same ones made again.

        A query that reads them meanwhile fails.

        Raises
        ------
        ValueError
            The sky lacks the tract.
        OSError
            The rows cannot be removed.
        """
        if self._missing([tract]):
            return
        with locked(self._folder / f"{tract}.lock"):
            forgotten = self._tract_folder(tract).rename(self._folder / f"{tract}.unfinished")
            shutil.rmtree(forgotten)

    def estimated_rows(self, tracts: Iterable[int]) -> int:
        """Estimate how many objects those of the tracts that are missing will have."""
        return round(len(self._missing(tracts)) * self._recipe.tract_rows * self.density)

    def estimated_bytes(self, tracts: Iterable[int]) -> int:
        """Estimate what those of the tracts that are missing will take on disk."""
        return round(len(self._missing(tracts)) * self._recipe.tract_bytes * self.density)

    def estimated_seconds(self, tracts: Iterable[int]) -> float:
        """Estimate how long one core will make those of the tracts that are missing."""
        return len(self._missing(tracts)) * (_TRACT_OVERHEAD_SECONDS + self._recipe.tract_seconds * self.density)

    def _known(self, tracts: Iterable[int]) -> list[int]:
        wanted = set(tracts)
        if unknown := sorted(wanted - set(self.tracts)):
            raise ValueError(f"the sky has no tracts {unknown}")
        return sorted(wanted)

    def _missing(self, tracts: Iterable[int]) -> list[int]:
        return [tract for tract in self._known(tracts) if not self._tract_folder(tract).is_dir()]

    def _tract_folder(self, tract: int) -> Path:
        return self._folder / str(tract)

    def _make(self, tract: int) -> bool:
        """Make a tract, unless somebody else has by the time it is our turn."""
        make_folder(self._folder)
        unfinished = self._folder / f"{tract}.unfinished"
        with self._turn, locked(self._folder / f"{tract}.lock"):
            if self._tract_folder(tract).is_dir():
                return False
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir()
            try:
                simulation = TractSimulation(
                    tract=tract, seed=self.seed, density=self.density, recipe=self._recipe
                )
                _write_tract(simulation, unfinished)
                flush(unfinished)
                put_in_place(unfinished, self._tract_folder(tract))
            finally:
                shutil.rmtree(unfinished, ignore_errors=True)
        return True


def _write_tract(simulation: TractSimulation, folder: Path) -> None:
    """Make the rows of a tract and write a file for each table, as soon as the table's rows are known."""
    with ThreadPoolExecutor() as pool:
        truths = draw_truths(simulation)
        writing = [
            pool.submit(
                _write,
                folder / "TruthSummary.parquet",
                TRUTH_SUMMARY,
                len(truths),
                lambda rows: truth_table(simulation, truths, rows),
            )
        ]
        objects = describe(simulation, measure(simulation, Sources.concatenate(truths, *_around(simulation))))
        writing.append(
            pool.submit(_write, folder / "Object.parquet", simulation.recipe.objects, *_rows_of(objects))
        )
        matches = match(simulation, truths, objects)
        _write(
            folder / "MatchesTruth.parquet",
            MATCHES_TRUTH,
            len(truths),
            lambda rows: match_table(simulation, truths, matches, rows),
        )
        for written in writing:
            written.result()


def _around(simulation: TractSimulation) -> tuple[Sources, ...]:
    """Return what lies in the border of a tract's images, of which no primary object is made."""
    return () if simulation.recipe.primaries_only else (draw_overlap(simulation),)


def _rows_of(objects: Objects) -> tuple[int, Callable[[slice], pa.Table]]:
    """Return how many rows the release's table of objects has, and what makes some of them."""
    if objects.simulation.recipe.primaries_only:
        primaries = PrimaryObjects.of(objects)
        return len(primaries), primaries.table
    return len(objects), lambda rows: object_table(objects, rows)


def _write(path: Path, schema: pa.Schema, count: int, table: Callable[[slice], pa.Table]) -> None:
    """Write rows group by group, through to the disk."""
    # The bytes of rounded numbers side by side: those that hold nothing become as good as nothing.
    numbers = [field.name for field in schema if pa.types.is_floating(field.type)]
    with path.open("wb") as file:
        with pq.ParquetWriter(
            file,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=False,
            use_byte_stream_split=numbers,
        ) as writer:
            for start in range(0, count, _ROWS_PER_GROUP):
                writer.write_table(table(slice(start, start + _ROWS_PER_GROUP)), row_group_size=_ROWS_PER_GROUP)
        file.flush()
        os.fsync(file.fileno())
