"""What was found, as Markdown between two marks of ``docs/rail.md``."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.rail.judged import Judged
from photoz_assets.photoz.metrics import Measured

OURS: Final = "ours"
_YARDSTICK: Final = "FlexZBoost"
_BEGIN, _END = "<!-- measured: {} -->\n", "<!-- end: {} -->\n"


@dataclass(frozen=True)
class Estimated:
    """What an estimator makes of two files, and what that took: seconds of processor, and its process's memory."""

    judged: Judged
    training: float
    estimating: float
    peak_mib: float


@dataclass(frozen=True)
class Compared:
    """Two files, how many galaxies they have, and what estimators made of them, by name; ``unlike_qp`` of ours."""

    title: str
    num_training: int
    num_test: int
    estimated: Mapping[str, Estimated]
    unlike_qp: tuple[float, float]


def write_page(path: Path, samples: Sequence[Compared], printed: Sequence[str], selected: Estimated) -> None:
    """Write what was found into the page, which stays as it is elsewhere."""
    text = path.read_text(encoding="utf-8")
    tables = [line for sample in samples for line in _tables(sample)]
    told = [*(f"> {line}  " for line in printed), "", _loss(samples[0].estimated[OURS], selected), ""]
    for name, measured in (("quality", tables), ("selected", told)):
        lines = "".join(f"{line}\n" for line in measured)
        head, begin, rest = text.partition(_BEGIN.format(name))
        _, end, tail = rest.partition(_END.format(name))
        text = f"{head}{begin}{lines}{end}{tail}"
    path.write_text(text, encoding="utf-8")


def _loss(of_all: Estimated, of_selected: Estimated) -> str:
    """Say what a selected training set costs."""
    all_, few = of_all.judged.by_median, of_selected.judged.by_median
    return (
        "Our forest, trained on what is left and judged on the whole test set: outliers "
        f"{few.outliers_fixed.value:.1%} in place of {all_.outliers_fixed.value:.1%}, sMAD {few.smad.value:.4f} "
        f"in place of {all_.smad.value:.4f}."
    )


def _tables(sample: Compared) -> Iterator[str]:
    yield f"## {sample.title}: {sample.num_training:,} to train, {sample.num_test:,} to test"
    yield ""
    yield "| | bias | sMAD | sMAD of the mode | outliers | PIT KS | CDE loss | train | estimate | memory |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, found in sample.estimated.items():
        median, mode = found.judged.by_median, found.judged.by_mode
        numbers = [
            f"{median.bias.value:+.4f}",
            _with_error(median.smad, 4),
            f"{mode.smad.value:.4f}",
            f"{median.outliers_fixed.value:.1%}",
            f"{median.pit_ks.value:.3f}",
            _with_error(median.cde_loss, 2),
            f"{found.training:.0f} s",
            f"{found.estimating:.1f} s",
            f"{found.peak_mib:,.0f} MiB",
        ]
        yield f"| {name} | {' | '.join(numbers)} |"
    yield ""
    yield from _bars(sample)


def _bars(sample: Compared) -> Iterator[str]:
    mine, theirs = (sample.estimated[name].judged for name in (OURS, _YARDSTICK))
    scatter = mine.by_median.smad.value / min(theirs.by_median.smad.value, theirs.by_mode.smad.value)
    loss, error = mine.by_median.cde_loss.value - theirs.by_median.cde_loss.value, mine.by_median.cde_loss.error
    distance, relative = sample.unlike_qp
    yield "<details>"
    yield "<summary>Held against what was asked</summary>"
    yield ""
    yield "| measure | found | asked |"
    yield "|---|---|---|"
    yield f"| sMAD, ours over FlexZBoost's better one | {scatter:.2f} | < 1.05 |"
    yield f"| CDE loss, ours less FlexZBoost's | {loss:+.2f} | < {2 * error:.2f}, two chance errors |"
    yield f"| PIT KS, ours | {mine.by_median.pit_ks.value:.3f} | < 0.03 on simulated galaxies |"
    yield f"| PIT KS of our p(z), by us and by qp | {distance:.4f} apart | < 0.001 |"
    yield f"| CDE loss of our p(z), by us and by qp | {relative:.2%} apart | < 2 % |"
    yield ""
    yield "</details>"
    yield ""


def _with_error(measured: Measured, digits: int) -> str:
    return f"{measured.value:.{digits}f} \N{PLUS-MINUS SIGN} {measured.error:.{digits}f}"
