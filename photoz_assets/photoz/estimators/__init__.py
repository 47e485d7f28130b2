"""Estimators of redshifts: what each is (``estimator``), and a file for each way. A new one is a new file."""

import pkgutil
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from importlib import import_module
from typing import Any

from photoz_assets.photoz.estimators.estimator import Estimator, EstimatorError

_PROTOCOL = "estimator"
# Of a setting that is no number of its own.
_GRID = "grid"


def estimator_names() -> tuple[str, ...]:
    """List the names of the estimators, which are those of their modules, in the order of the alphabet."""
    return tuple(sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != _PROTOCOL))


@cache
def estimator_named(name: str) -> type[Estimator]:
    """Return the estimator of a name: ``ESTIMATOR`` of the module of that name.

    Raises
    ------
    EstimatorError
        There is none; the message lists those that there are.
    """
    if name not in estimator_names():
        raise EstimatorError(f"there is no estimator {name!r}: it is one of {', '.join(estimator_names())}")
    estimator: type[Estimator] = import_module(f"{__name__}.{name}").ESTIMATOR
    return estimator


def configured(name: str, settings: Mapping[str, Any]) -> Estimator:
    """Return the estimator of a name with some of its settings, all numbers.

    Raises
    ------
    EstimatorError
        There is no such estimator, it has no such setting, or a setting makes no sense.
    """
    estimator = estimator_named(name)
    usual = estimator()
    known = {each.name: type(getattr(usual, each.name)) for each in fields(estimator) if each.name != _GRID}
    if unknown := sorted(settings.keys() - known.keys()):
        has = ", ".join(known) or "none"
        raise EstimatorError(f"the estimator {name} has no setting {', '.join(unknown)}: its settings are {has}")
    try:
        return estimator(**{setting: known[setting](value) for setting, value in settings.items()})
    except (TypeError, ValueError) as error:
        raise EstimatorError(f"a setting of the estimator {name} is no number: {dict(settings)}") from error
