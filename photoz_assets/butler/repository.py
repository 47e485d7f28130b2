"""A Butler repository: its listings, and the tables of its tracts in the columns of a contract.

The client (``lsst.daf.butler``) is imported when a repository is opened; its errors become a `ButlerError` here.
"""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import pyarrow as pa
import pyarrow.compute as pc

from photoz_assets.errors import PhotozError
from photoz_assets.survey.contracts.butler import BUTLER_COLLECTIONS, BUTLER_DATASET_TYPES
from photoz_assets.survey.table import Contract

# What the pipeline that compares objects with the truth puts before the truth's columns, in its later versions.
_TRUTH_PREFIX: Final = "refcat_"
_BATCH_ROWS: Final = 65_536
# A server hands out files by URLs whose query is the permission to read them.
_SIGNED_URL: Final = re.compile(r"(https?://[^\s?]+)\?\S+")


class ButlerError(PhotozError):
    """The repository cannot be read, or lacks what is wanted."""


class ButlerContractError(ButlerError):
    """A dataset lacks columns of the contract, or has columns of other types."""


def _faults() -> tuple[type[Exception], ...]:
    """Return the exceptions that the client, and what it reads files with, raise for faults that are not ours."""
    from aiohttp import ClientError  # noqa: PLC0415 - optional
    from lsst.daf.butler import ButlerUserError  # noqa: PLC0415 - optional, and slow to load

    return ButlerUserError, ClientError, OSError, RuntimeError, LookupError


@contextmanager
def _one_line(action: str) -> Iterator[None]:
    """Raise the faults of the Butler, and of what it reads files with, as a `ButlerError` of one line."""
    try:
        yield
    except _faults() as error:
        told = error.args[0] if isinstance(error, KeyError) and error.args else error
        # The client says of a server's refusal only that there was one.
        because = f" ({error.__cause__})" if isinstance(error, RuntimeError) and error.__cause__ else ""
        text = " ".join(f"{told}{because}".split()).strip("'\"") or type(error).__name__
        unsigned = _SIGNED_URL.sub(r"\1", text)
        # Whoever has a signed URL may read the file: no log may show it, nor the errors in whose texts it stands.
        raise ButlerError(f"{action}: {unsigned}") from None


@dataclass(frozen=True, kw_only=True)
class Repository:
    """One repository, and those of its collections that are searched."""

    location: str
    collections: tuple[str, ...]
    skymap: str
    _butler: Any = field(repr=False)

    @classmethod
    def open(cls, location: str | None, *, collections: tuple[str, ...], skymap: str) -> Self:
        """Return a repository opened for reading; the caller closes it.

        Parameters
        ----------
        location
            A folder, or the URL of a Butler server; the client takes the token for it from the environment.

        Raises
        ------
        ButlerError
            The client is not installed, nothing is configured, or there is no such repository or collection.
        """
        try:
            from lsst.daf.butler import Butler  # noqa: PLC0415 - optional, and slow to load

            _faults()
        except ImportError as error:
            raise ButlerError(
                "the Butler's client is not installed: pip install 'photoz_assets[butler]'"
            ) from error
        if location is None:
            raise ButlerError(
                "no Butler repository is configured: set PHOTOZ_BUTLER_REPOSITORY to a repository's folder or "
                "URL; photoz-butler makes one for trying it"
            )
        with _one_line(f"the Butler repository {location} cannot be opened"):
            butler = Butler.from_config(location, collections=list(collections), writeable=False)
            butler.collections.query_info(list(collections))
        return cls(location=location, collections=collections, skymap=skymap, _butler=butler)

    def close(self) -> None:
        """Close the connection to the repository's database or server."""
        self._butler.close()

    def describe(self) -> str:
        """Return the repository in words: its location, and the descriptions of the collections searched."""
        described = [
            f"{found.name} ({' '.join(found.doc.split())})" if found.doc else found.name
            for found in self._listed(list(self.collections))
        ]
        return f"Butler {self.location}, {', '.join(described)}, skymap {self.skymap}"

    def list_collections(self) -> pa.Table:
        """Return every collection, by name, in the columns of the contract ``BUTLER_COLLECTIONS``."""
        rows = [
            {
                "collection": found.name,
                "type": found.type.name,
                "children": ", ".join(found.children) or None,
                "documentation": found.doc or None,
            }
            for found in sorted(self._listed("*"), key=lambda found: str(found.name))
        ]
        return pa.Table.from_pylist(rows, schema=BUTLER_COLLECTIONS.schema)

    def list_dataset_types(self, pattern: str) -> pa.Table:
        """Return dataset types, by name, in the columns of the contract ``BUTLER_DATASET_TYPES``.

        Parameters
        ----------
        pattern
            Pattern of their names; ``*`` matches anything.
        """
        with _one_line(f"{self.location}: the dataset types cannot be listed"):
            found = sorted(self._butler.registry.queryDatasetTypes(pattern))
        rows = [
            {
                "dataset_type": kind.name,
                "dimensions": ", ".join(kind.dimensions.names),
                "storage_class": kind.storageClass_name,
            }
            for kind in found
        ]
        return pa.Table.from_pylist(rows, schema=BUTLER_DATASET_TYPES.schema)

    def read(self, dataset_type: str, tract: int, contract: Contract) -> Iterator[pa.RecordBatch]:
        """Yield the columns that a contract selects of one tract's table; no others are read.

        Yields
        ------
        pa.RecordBatch
            In the selected columns of the contract; NaN, by which pandas marks a missing value, is NULL.

        Raises
        ------
        ButlerContractError
            A column is missing, or its values are not of the contract's type.
        ButlerError
            The repository has no such dataset, or it cannot be read.
        """
        sources = self._sources(dataset_type, tract, contract)
        table = self._get(dataset_type, tract, "ArrowTable", parameters={"columns": list(sources.values())})
        for batch in table.to_batches(_BATCH_ROWS):
            try:
                columns = [
                    _without_nan(batch.column(sources[column.name])).cast(column.type)
                    for column in contract.selected
                ]
            except pa.ArrowInvalid as error:
                raise ButlerContractError(
                    f"{dataset_type} of tract {tract} is not as the contract has it: {error}"
                ) from error
            yield pa.RecordBatch.from_arrays(columns, schema=contract.selected_schema)

    @contextmanager
    def file(self, dataset_type: str, **data_id: int | str) -> Iterator[Path]:
        """Give the file of one dataset in a place on this machine, where it stays until the block ends.

        Raises
        ------
        ButlerError
            The repository has no such dataset, or its file cannot be fetched.
        """
        words = ", ".join(f"{name} {value}" for name, value in data_id.items())
        with ExitStack() as held:
            with _one_line(f"{self.location} cannot give {dataset_type} of {words}"):
                place = self._butler.getURI(dataset_type, skymap=self.skymap, **data_id)
                local = held.enter_context(place.as_local())
            yield Path(local.ospath)

    def _sources(self, dataset_type: str, tract: int, contract: Contract) -> dict[str, str]:
        """Return the dataset's column for each selected column of a contract."""
        stored = set(self._get(f"{dataset_type}.columns", tract, "ArrowColumnList"))
        sources = {}
        for column in contract.selected:
            found = [name for name in (f"{_TRUTH_PREFIX}{column.source}", str(column.source)) if name in stored]
            if found:
                sources[column.name] = found[0]
        if missing := [str(column.source) for column in contract.selected if column.name not in sources]:
            raise ButlerContractError(f"{dataset_type} of tract {tract} lacks the columns {', '.join(missing)}")
        return sources

    def _get(self, dataset_type: str, tract: int, storage_class: str, **arguments: Any) -> Any:
        with _one_line(f"{self.location} cannot give tract {tract}"):
            return self._butler.get(
                dataset_type, skymap=self.skymap, tract=tract, storageClass=storage_class, **arguments
            )

    def _listed(self, collections: str | list[str]) -> list[Any]:
        with _one_line(f"{self.location}: the collections cannot be listed"):
            found: list[Any] = list(self._butler.collections.query_info(collections, include_doc=True))
        return found


def _without_nan(values: "pa.Array[Any]") -> "pa.Array[Any]":
    if not pa.types.is_floating(values.type):
        return values
    return pc.if_else(pc.is_nan(values), None, values)
