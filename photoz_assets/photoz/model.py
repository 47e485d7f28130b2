"""A fitted model as a table: what it has learnt and where it is from, stored without code.

A pickle runs what it holds when it is read; this table holds numbers and JSON alone, and whatever else is refused.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pybase64
from numpy.typing import NDArray

from photoz_assets.errors import PhotozError
from photoz_assets.photoz.coverage import Coverage
from photoz_assets.photoz.estimators import estimator_named
from photoz_assets.photoz.estimators.estimator import (
    Arrays,
    EstimatorError,
    Model,
    Parameters,
    RedshiftGrid,
    Rows,
)

MODEL_SCHEMA: Final = pa.schema(
    [
        pa.field("name", pa.string(), nullable=False),
        pa.field("type", pa.string(), nullable=False),
        pa.field("shape", pa.list_(pa.int64()), nullable=False),
        pa.field("values", pa.string(), nullable=False),
    ]
)

# The row of all that is no array.
_FACTS: Final = "facts"
_JSON: Final = "json"
# Little-endian numbers: nothing that numpy would ask pickle for.
_TYPES: Final = frozenset({"|u1", "<u2", "<i4", "<i8", "<f4", "<f8"})
_VERSIONED: Final = ("photoz_assets", "numpy", "scipy", "scikit-learn")


class ModelFileError(PhotozError):
    """A file that should hold a model holds none."""


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """Where a model is from.

    Attributes
    ----------
    kind
        Of the estimator.
    features, bands, photometry, dereddened
        The features' names in their order, the bands that they are of, the kind of the fluxes, and whether these
        were corrected for the dust of the Milky Way.
    sample_digest, num_training, num_validation
        The training sets that it was fitted to.
    settings
        Of the estimator.
    versions
        Of the packages that fitted it.
    """

    kind: str
    features: tuple[str, ...]
    bands: tuple[str, ...]
    photometry: str
    dereddened: bool
    sample_digest: str
    num_training: int
    num_validation: int
    settings: Mapping[str, Any] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=lambda: {name: version(name) for name in _VERSIONED})

    @property
    def text(self) -> str:
        """What it is in a line for people."""
        errors = ", errors" if any(name.startswith("mag_1sigma") for name in self.features) else ""
        seen = f"{self.kind} on {''.join(self.bands)}, colours{errors}"
        return f"{seen} \N{MIDDLE DOT} {self.num_training:,} trained on"

    @classmethod
    def from_dict(cls, written: Mapping[str, Any]) -> Self:
        """Read what ``asdict`` and JSON made of the facts.

        Raises
        ------
        TypeError
            They are others.
        """
        return cls(**{**written, "features": tuple(written["features"]), "bands": tuple(written["bands"])})


@dataclass(frozen=True, kw_only=True)
class FittedModel:
    """A model, what its training set covers, and where both are from.

    ``trained_on`` are the ids of the objects of the training set, in its order, each once; empty where they have
    none.

    Raises
    ------
    ValueError
        The coverage is of features that the model does not have.
    """

    model: Model
    coverage: Coverage
    facts: ModelFacts
    trained_on: Rows = field(default_factory=lambda: np.empty(0, np.int64))

    def __post_init__(self) -> None:
        columns = self.coverage.arrays["columns"]
        if (columns >= len(self.facts.features)).any():
            raise ValueError(
                f"the coverage is of columns {columns.tolist()} of {len(self.facts.features)} features"
            )

    @cached_property
    def _by_id(self) -> Rows:
        """The rows of the training set in the order of their ids."""
        return np.argsort(self.trained_on, kind="stable")

    def training_rows(self, object_ids: Rows) -> Rows:
        """Return which row of the training set each object is, or -1; shape (objects,)."""
        if not len(self.trained_on):
            return np.full(len(object_ids), -1)
        place = np.searchsorted(self.trained_on, object_ids, sorter=self._by_id)
        rows = self._by_id[place.clip(max=len(self._by_id) - 1)]
        return np.where(self.trained_on[rows] == object_ids, rows, -1)

    @property
    def arrays(self) -> Arrays:
        """All arrays by the names that they are stored by."""
        parts = {
            "model": self.model.arrays,
            "coverage": self.coverage.arrays,
            "training": {"object_id": self.trained_on},
        }
        return {f"{part}.{name}": array for part in parts for name, array in sorted(parts[part].items())}

    @property
    def digest(self) -> str:
        """What tells models apart that estimate otherwise, wherever they are from."""
        facts = self.facts
        seen = [facts.features, facts.bands, facts.photometry, facts.dereddened]
        settings = [facts.kind, seen, asdict(self.model.grid), dict(self.model.parameters)]
        digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
        for name, array in self.arrays.items():
            digest.update(f"{name} {array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()[:12]

    def to_table(self) -> pa.Table:
        """Return the model as a table in the columns of ``MODEL_SCHEMA``: a row of its facts, and a row an array.

        ``values`` are the array's bytes in C order, in base64: any reader of Parquet takes texts, and not all take
        bytes. The facts, with grid and parameters, are JSON.
        """
        written = {
            "facts": asdict(self.facts),
            "grid": asdict(self.model.grid),
            "parameters": dict(self.model.parameters),
        }
        text = json.dumps(written, sort_keys=True)
        rows = [{"name": _FACTS, "type": _JSON, "shape": [len(text)], "values": text}]
        rows += [
            {
                "name": name,
                "type": array.dtype.str,
                "shape": list(array.shape),
                "values": pybase64.b64encode_as_string(array.tobytes()),
            }
            for name, array in self.arrays.items()
        ]
        return pa.Table.from_pylist(rows, schema=MODEL_SCHEMA)

    @classmethod
    def from_table(cls, table: pa.Table) -> Self:
        """Return the model that a table holds.

        Raises
        ------
        ModelFileError
            It holds none, an array of anything but numbers, or arrays that no fit gives.
        """
        rows = {row["name"]: row for row in table.to_pylist()} if table.schema.equals(MODEL_SCHEMA) else {}
        if _FACTS not in rows:
            raise ModelFileError("this table holds no model: fit it again")
        try:
            written: dict[str, Any] = json.loads(rows.pop(_FACTS)["values"])
            facts = ModelFacts.from_dict(written["facts"])
            parts: dict[str, dict[str, NDArray[Any]]] = {"model": {}, "coverage": {}, "training": {}}
            for row in rows.values():
                part, name = row["name"].split(".")
                parts[part][name] = _array_of(row)
            parameters: Parameters = {name: float(value) for name, value in written["parameters"].items()}
            kind = estimator_named(facts.kind).model
            return cls(
                model=kind.restored(RedshiftGrid(**written["grid"]), parameters, parts["model"]),
                coverage=Coverage.restored(parts["coverage"]),
                facts=facts,
                trained_on=parts["training"]["object_id"],
            )
        except (KeyError, TypeError, ValueError, EstimatorError) as error:
            raise ModelFileError(f"the model in this table makes no sense ({error}): fit it again") from error

    def write(self, path: Path) -> None:
        """Write the model as a Parquet file.

        Raises
        ------
        OSError
            It cannot be written.
        """
        pq.write_table(self.to_table(), path, compression="zstd", use_dictionary=False, write_statistics=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read what ``write`` wrote; nothing in the file is run.

        Raises
        ------
        OSError
            There is no such file, or it is damaged.
        ModelFileError
            It holds no model.
        """
        try:
            table = pq.read_table(path)
        except pa.ArrowInvalid as error:
            raise ModelFileError(f"{path} is no model: fit it again") from error
        return cls.from_table(table)


def _array_of(row: Mapping[str, Any]) -> NDArray[Any]:
    if row["type"] not in _TYPES:
        raise ValueError(f"{row['name']} is of type {row['type']}, no number")
    values = pybase64.b64decode(row["values"], validate=True)
    return np.frombuffer(values, np.dtype(row["type"])).reshape(row["shape"])
