"""The schemas that Rubin publishes of its archive, read from the package ``lsst-sdm-schemas`` once and kept.

The package's own library reads them in a process of its own (``felis_reader``): it takes two seconds to load, and
a server needs none of it afterwards. What it found lies in a folder, a file a schema, keyed by the versions of
the packages; a file that is damaged is made anew.
"""

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Final

from pydantic import TypeAdapter, ValidationError

from photoz_archive.adql.catalog import TableFacts
from photoz_archive.files import locked, make_folder, write_in_place

# Changes when other facts are read off the same schemas.
_FORMAT: Final = "1"
_PACKAGES: Final = ("lsst-sdm-schemas", "lsst-felis")
_READ_SECONDS: Final = 120.0


class OfficialSchemaError(RuntimeError):
    """The official schemas cannot be read; the text says why and what to do."""


@dataclass(frozen=True)
class ForeignKey:
    """A declared join: columns of ``from_table`` that name rows of ``target_table``."""

    key_id: str
    from_table: str
    target_table: str
    columns: tuple[tuple[str, str], ...]
    description: str | None


@dataclass(frozen=True, kw_only=True)
class OfficialSchema:
    """A schema as it is published, tables and columns in its order; its name is in lower case."""

    name: str
    description: str | None
    tables: tuple[TableFacts, ...]
    keys: tuple[ForeignKey, ...] = ()


SCHEMAS: Final = TypeAdapter(tuple[OfficialSchema, ...])
_SCHEMA: Final = TypeAdapter(OfficialSchema)


def official_schemas(names: Sequence[str], folder: Path) -> tuple[OfficialSchema, ...]:
    """Return published schemas, from a folder where they were kept, else from the package.

    Parameters
    ----------
    names
        Files of the package without their ending, as ``dp02_dc2`` or ``dp1``; ``tap_schema`` is the schema that
        TAP itself demands.
    folder
        Where they are kept; made if it is missing. Several processes may share it.

    Raises
    ------
    ModuleNotFoundError
        The package is not installed.
    OfficialSchemaError
        The package has no such schema, or its library cannot read it.
    OSError
        The folder cannot be written.
    """
    versions = ",".join(f"{package}={version(package)}" for package in _PACKAGES)
    files = {name: folder / f"{name.replace('/', '-')},{versions},format={_FORMAT}.json" for name in names}
    found = {name: _kept(file) for name, file in files.items()}
    if None in found.values():
        make_folder(folder)
        with locked(folder / "lock"):
            # Whoever held the lock before may have made them.
            missing = tuple(name for name, file in files.items() if _kept(file) is None)
            for name, schema in zip(missing, _read(missing) if missing else (), strict=True):
                _keep(schema, files[name])
        found = {name: _kept(file) for name, file in files.items()}
    return tuple(schema for schema in found.values() if schema is not None)


def _keep(schema: OfficialSchema, file: Path) -> None:
    """Put a schema in its place, with its digest in the first line."""
    content = _SCHEMA.dump_json(schema, exclude_defaults=True)
    write_in_place(file, _digest(content) + b"\n" + content)


def _kept(file: Path) -> OfficialSchema | None:
    """Return the schema in a file, or None where there is no whole one."""
    try:
        digest, _, content = file.read_bytes().partition(b"\n")
    except FileNotFoundError:
        return None
    if digest != _digest(content):
        return None
    try:
        return _SCHEMA.validate_json(content)
    except ValidationError:
        return None


def _digest(content: bytes) -> bytes:
    return hashlib.sha256(content).hexdigest().encode()


@cache
def _read(names: tuple[str, ...]) -> tuple[OfficialSchema, ...]:
    """Read schemas in another process; the package does not change while this process runs."""
    command = [sys.executable, "-P", "-m", "photoz_archive.service.felis_reader", *names]
    try:
        ended = subprocess.run(  # noqa: S603 - this interpreter, and names of our own
            command,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            check=True,
            timeout=_READ_SECONDS,
        )
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as error:
        reason = (error.stderr or b"").decode(errors="replace").strip().rpartition("\n")[2] or str(error)
        raise OfficialSchemaError(
            f"the schemas {', '.join(names)} cannot be read from the package lsst-sdm-schemas ({reason}): "
            "install it again: pip install --force-reinstall 'photoz_assets[archive]'"
        ) from error
    return SCHEMAS.validate_json(ended.stdout)
