"""How far another process has come with a refresh, seen from outside: when it entered which stage."""

import time
from collections.abc import Callable
from multiprocessing.context import ForkServerContext
from typing import Any, Final, TypeAlias

from photoz_assets.ingest import TapIngest
from photoz_assets.lake import writing
from photoz_assets.orchestration.assets import diagnostics

STAGES: Final = ("start", "ingest", "audit", "publication", "drawing", "writing of figures", "end")
# A stage, and the function, of a class or module, with which it begins.
Entrance: TypeAlias = tuple[str, Any, str]
_ENTRANCES: Final[tuple[Entrance, ...]] = (
    ("ingest", TapIngest, "fetch_table"),
    ("audit", writing, "audit"),
    ("publication", writing, "publish"),
    ("drawing", diagnostics, "sample_summary"),
    ("writing of figures", diagnostics, "show_figures"),
)


class Timeline:
    """When a process entered each stage last, in monotonic seconds of this machine; 0 for never."""

    def __init__(self, context: ForkServerContext, stages: tuple[str, ...] = STAGES) -> None:
        self.stages = stages
        self._entered = context.Array("d", len(stages), lock=False)

    def enter(self, stage: str) -> None:
        """Take note that a stage begins now."""
        self._entered[self.stages.index(stage)] = time.monotonic()

    def is_in_or_after(self, stage: str) -> bool:
        """Return whether a stage was ever entered."""
        return bool(self._entered[self.stages.index(stage)])

    @property
    def stage(self) -> str:
        """The stage that was entered last."""
        return max(self.stages, key=lambda stage: self._entered[self.stages.index(stage)])

    def seconds(self, stage: str) -> float:
        """Return how long a stage lasted, of a process that has come to its end."""
        begun = self._entered[self.stages.index(stage)]
        return float(min(moment for moment in self._entered if moment > begun) - begun)

    def watch(self, entrances: tuple[Entrance, ...] = _ENTRANCES) -> None:
        """Have this process, for the rest of its life, note the stages that it enters."""
        for stage, owner, name in entrances:
            setattr(owner, name, self._noting(stage, getattr(owner, name)))
        self.enter("start")

    def _noting(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **kwargs: Any) -> Any:
            self.enter(stage)
            return function(*args, **kwargs)

        return noted
