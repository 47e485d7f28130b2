"""Estimators of redshifts: what each is (``estimator``), and a file for each way; ``MODELS`` names them all."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from photoz_assets.photoz.estimators.estimator import Model
from photoz_assets.photoz.estimators.forest import Forest, ForestModel
from photoz_assets.photoz.estimators.neighbours import Neighbours, NeighboursModel

MODELS: Final[Mapping[str, type[Model]]] = MappingProxyType(
    {Forest.kind: ForestModel, Neighbours.kind: NeighboursModel}
)
