"""The check of the archive's listing of the sky that needs no audit."""

from collections.abc import Iterable

from photoz_assets.survey.checks import Verdict
from photoz_assets.text import listed


def known_tracts(found: Iterable[int], packaged: Iterable[int]) -> Verdict:
    """Compare the tracts that the archive holds objects in with the packaged list."""
    found, packaged = set(found), set(packaged)
    missing, new = sorted(packaged - found), sorted(found - packaged)
    return Verdict(
        check="known_tracts",
        passed=not missing and not new,
        summary=f"missing: {listed(missing)}; new: {listed(new)}",
        numbers={"tracts": len(found), "missing": len(missing), "new": len(new)},
        limits={"packaged": len(packaged)},
        rows=[
            *({"tract": tract, "is": "missing"} for tract in missing),
            *({"tract": tract, "is": "new"} for tract in new),
        ],
    )
