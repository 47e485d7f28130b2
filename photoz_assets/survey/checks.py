"""Checks as data: what a table must satisfy, whether that blocks it, and what was found.

A check says what it is about and, where the audit can hold it, by which rule: SQL over the stored columns. The
rules of a table stand with its contract (``contracts``); how they are held against a file, in ``lake.audit``.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from photoz_assets.survey.matching import Matching
from photoz_assets.survey.sampling import Sampling
from photoz_assets.survey.selection import Selection

Limits = Mapping[str, float | int | str | Sequence[str]]

# What the metadata call the rows that break a check, unless it has a better name for them.
OFFENDING_ROWS: Final = "offending_rows"

# Checks that many tables share. Both are failed, too, by an answer that cannot be read as the table.
CONTRACT: Final = "contract"
COMPLETE: Final = "complete"


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """A condition, in SQL, that every row must satisfy; NULL does not satisfy it."""

    check: str
    condition: str
    shown: tuple[str, ...]
    limits: Limits


@dataclass(frozen=True, kw_only=True)
class KeyRule:
    """Columns whose values must each be unique: no two rows share one."""

    check: str
    columns: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class StatisticRule:
    """Aggregates, in SQL by name, each of which must lie inside its limits; NULL for want of rows does."""

    check: str
    expressions: Mapping[str, str]
    inside: Mapping[str, tuple[float, float]]


Rule: TypeAlias = RowRule | KeyRule | StatisticRule


@dataclass(frozen=True)
class Scope:
    """What one table was asked for: the selection, the tract, the sampling and the matching, where it has them."""

    selection: Selection | None = None
    tract: int | None = None
    sampling: Sampling | None = None
    matching: Matching | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """A check of a table.

    Attributes
    ----------
    name, description
        How it is called, and what it says.
    blocking
        Whether a table that fails it is refused; the others only warn.
    rule
        Makes the rule that the audit holds against the rows; None for a check that is judged otherwise.
    rows
        What the rows are called that it shows.
    """

    name: str
    description: str
    blocking: bool
    rule: Callable[[Scope], Rule] | None = None
    rows: str = OFFENDING_ROWS

    def failed(self, summary: str) -> "Verdict":
        """Return the verdict of this check where it failed before there were rows to audit."""
        return Verdict(check=self.name, passed=False, summary=summary)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check found: its numbers, the limits it was held against and some of the rows that break them."""

    check: str
    passed: bool
    summary: str
    numbers: Mapping[str, float | int | str | None] = field(default_factory=dict)
    limits: Limits = field(default_factory=dict)
    rows: Sequence[Mapping[str, Any]] = ()
