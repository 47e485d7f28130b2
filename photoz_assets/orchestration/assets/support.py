"""What the asset shells share: how they are declared, and how they fail."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import dagster as dg
import duckdb

from photoz_assets.butler.repository import ButlerError
from photoz_assets.environment import SettingError
from photoz_assets.lake.audit import Verdict
from photoz_assets.lake.layout import ForeignArchiveError, Lake, UnreadableLakeError
from photoz_assets.lake.provenance import InvalidTableFileError, Provenance
from photoz_assets.lake.staging import atomic_write
from photoz_assets.orchestration.checks import blocks
from photoz_assets.orchestration.column_metadata import column_schema
from photoz_assets.survey.contracts import Contract
from photoz_assets.survey.selection import SelectionError
from photoz_assets.tap.errors import ArchiveError
from photoz_assets.text import one_line

if TYPE_CHECKING:
    from matplotlib.figure import Figure

OWNERS: Final = ["team:photoz"]

CONTACT_SHEET: Final = "contact_sheet"

# Their own words say what happened, to what, and what to do.
_SAID_WELL: Final = (
    ArchiveError,
    ButlerError,
    ForeignArchiveError,
    InvalidTableFileError,
    SelectionError,
    SettingError,
    UnreadableLakeError,
)

STAYS: Final = "The last good table stays as it was."


def declared(contract: Contract) -> Mapping[str, Any]:
    """Give the definition metadata of a stored asset."""
    return {"dagster/column_schema": column_schema(contract), "dagster/table_name": contract.table}


def origins(contract: Contract) -> list[dg.AssetKey]:
    """List the archive's tables that a contract's columns come from, as asset keys."""
    tables = {origin.rpartition(".")[0] for column in contract for origin in column.derived_from}
    return [dg.AssetKey(table.split(".")) for table in sorted(tables) if "." in table]


@contextmanager
def as_dagster_failure() -> Iterator[None]:
    """Turn what can go wrong outside this program into one clear failure that Dagster does not retry.

    Transient faults were retried where they happened (``tap.retry``).

    Raises
    ------
    dagster.Failure
        With what happened, to what, and what to do next.
    """
    try:
        yield
    except _SAID_WELL as error:
        raise dg.Failure(f"{str(error).rstrip('.')}. {STAYS}", allow_retries=False) from error
    except ConnectionError:
        raise
    except OSError as error:
        where = f" at {error.filename}" if error.filename else ""
        raise _disk_failure(f"{where}: {error.strerror or error}") from error
    except duckdb.InvalidInputException as error:
        # What it says of a damaged file names it.
        raise dg.Failure(
            f"a stored table is damaged: {_first_line(error)}: move it elsewhere and materialize its asset again. "
            f"{STAYS}",
            allow_retries=False,
        ) from error
    except (duckdb.IOException, duckdb.OutOfMemoryException) as error:
        # It spills to the disk what exceeds its memory, and advises at length when it cannot.
        raise _disk_failure(f" DuckDB: {_first_line(error)}") from error


def _first_line(error: duckdb.Error) -> str:
    return one_line(str(error).splitlines()[0]).rstrip(".")


def _disk_failure(what: str) -> dg.Failure:
    return dg.Failure(
        f"the disk failed{what}. Free some space, or point PHOTOZ_DATA_DIR elsewhere. {STAYS}",
        allow_retries=False,
    )


def raise_for_blocking(name: str, verdicts: Iterable[Verdict]) -> None:
    """Refuse a table if a blocking check failed.

    Raises
    ------
    dagster.Failure
        Naming the failed checks and what they found.
    """
    failed = [verdict for verdict in verdicts if not verdict.passed and blocks(verdict.check)]
    if failed:
        found = "; ".join(f"{verdict.check}: {verdict.summary}" for verdict in failed)
        raise dg.Failure(f"{name} is refused by its checks. {found}. {STAYS}", allow_retries=False)


def origin(provenance: Provenance) -> str:
    """Give the words by which figures say where their data come from."""
    return provenance.archive.label if provenance.archive else "origin unknown"


def show_figures(
    context: dg.AssetExecutionContext,
    lake: Lake,
    figures: Iterable[tuple[str, "Figure"]],
    tract: int | None = None,
) -> None:
    """Save an asset's figures, as they come, and of several a contact sheet; show one picture on the asset's page.

    One picture a materialization: what is embedded here stays in Dagster's database for ever.
    """
    from photoz_assets.science import figures as drawing  # noqa: PLC0415 - matplotlib is slow to load

    asset = context.asset_key.path[-1]
    paths = []
    for name, figure in figures:
        paths.append(lake.figure(asset, name, tract))
        with atomic_write(lake, paths[-1]) as file:
            drawing.save(figure, file)
    shown = paths[0]
    if len(paths) > 1:
        shown = lake.figure(asset, CONTACT_SHEET, tract)
        with atomic_write(lake, shown) as file:
            drawing.contact_sheet(paths, file)
    # The asset's own metadata, not the output's: the output's event would hold the picture once more.
    context.add_asset_metadata(
        {
            "figures": dg.MetadataValue.md(drawing.thumbnail_markdown(shown)),
            "figures_folder": dg.MetadataValue.path(shown.parent),
        }
    )


def selections(lake: Lake, tracts: Iterable[int]) -> dict[int, str]:
    """Tell of which selection each stored tract is, in words."""
    provenances = {tract: lake.provenance("matched_galaxies", tract) for tract in sorted(tracts)}
    return {tract: found.selection.text if found.selection else "" for tract, found in provenances.items()}
