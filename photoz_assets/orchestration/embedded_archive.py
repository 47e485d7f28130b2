"""Whether the embedded archive can be started: its libraries are an extra, which who asks another does without."""

from importlib.util import find_spec
from typing import Final

from photoz_assets.environment import SettingError, StoreUrl, data_dir

# What the distributions of the extra `archive` are imported as.
LIBRARIES: Final = (
    "dotenv",
    "felis",
    "lsst.sdm.schemas",
    "multipart",
    "pydantic_xml",
    "sqlglot",
    "starlette",
    "uvicorn",
    "vo_models",
    "yaml",
)


def require_embedded_archive() -> None:
    """See that the embedded archive may be asked: its libraries, of which none is loaded, and the lake.

    Raises
    ------
    SettingError
        One is missing, and no other archive is named; or the lake is in an object store, where each machine that
        asked an embedded archive of its own would mix its sky with the others'.
    """
    place = data_dir()
    if isinstance(place, StoreUrl):
        raise SettingError(
            f"the lake {place} is shared, and the embedded archive is each machine's own: set PHOTOZ_TAP_URL to "
            "one server for all, an archive's or that of `photoz-archive`"
        )
    for library in LIBRARIES:
        if not _is_installed(library):
            raise SettingError(
                f"PHOTOZ_TAP_URL is not set, and the embedded archive is not installed ({library} is missing): "
                "set it to an archive's URL, or pip install 'photoz_assets[archive]'"
            )


def _is_installed(library: str) -> bool:
    try:
        return find_spec(library) is not None
    except ModuleNotFoundError:
        # A package above it is missing.
        return False
