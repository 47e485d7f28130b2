"""The check of a field that needs no audit: whether it can be cut out of the tracts that the lake holds."""

from collections.abc import Mapping, Sequence

from photoz_assets.survey.checks import Verdict
from photoz_assets.text import listed


def field_complete(needed: Sequence[int], selections: Mapping[int, str], *, allow_missing: bool) -> Verdict:
    """Judge whether a field can be cut out of the lake.

    Parameters
    ----------
    needed
        The tracts of the survey that the field touches.
    selections
        Of which selection each of them is that the lake holds.
    allow_missing
        Whether some, but not all, may be missing.
    """
    missing = [tract for tract in needed if tract not in selections]
    problems = []
    if not needed:
        problems.append("the field touches no tract of the survey")
    if missing and not (allow_missing and selections):
        problems.append(f"the lake lacks tract {listed(missing)}: materialize matched_galaxies for it")
    if mixed := mixed_tracts(selections, "selections"):
        problems.append(mixed)
    return Verdict(
        check="field_complete",
        passed=not problems,
        summary="; ".join(problems) or f"made of tract {listed(sorted(selections))}",
        numbers={"needed": len(needed), "held": len(selections), "missing": len(missing)},
        limits={"tracts": [str(tract) for tract in needed]},
        rows=[{"tract": tract, "is": "missing"} for tract in missing],
    )


def mixed_tracts(kinds: Mapping[int, str], what: str) -> str | None:
    """Return which tracts are of which kind, in words, if there is more than one; ``what`` names several kinds."""
    found = {text: [tract for tract in kinds if kinds[tract] == text] for text in kinds.values()}
    if len(found) < 2:  # noqa: PLR2004 - a mixture takes two
        return None
    each = "; ".join(f"{text}: tract {listed(found[text])}" for text in sorted(found))
    return f"the tracts are of {len(found)} {what}, {each}. Refresh them with one"
