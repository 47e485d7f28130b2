"""The account of a table's rows: what came in is kept, or left out for a reason."""

from collections.abc import Mapping

from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.photoz import ACCOUNTED


def account(came: int, kept: int, left_out: Mapping[str, int]) -> Verdict:
    """Judge whether the rows add up: the verdict of the check ``accounted``.

    Parameters
    ----------
    came, kept
        Numbers of rows.
    left_out
        By reason, those that were not kept.
    """
    reasons = ", ".join(f"{number:,} {reason}" for reason, number in left_out.items() if number)
    lost = came - kept - sum(left_out.values())
    words = f"of {came:,} rows {kept:,} are kept; left out: {reasons or 'none'}"
    return Verdict(
        check=ACCOUNTED,
        passed=not lost,
        summary=f"{words}; unaccounted for: {lost:,}" if lost else words,
        numbers={"came": came, "kept": kept, **left_out},
    )
