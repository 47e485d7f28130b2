"""The checks of the archive's listing of the sky."""

from collections.abc import Iterable
from typing import Final

from photoz_assets.lake.audit import Verdict
from photoz_assets.orchestration.checks.shared import COMPLETE, CONTRACT, check_specs, named

SKYINFO_CHECKS: Final = [
    *check_specs("skyinfo", {"contract": CONTRACT, "complete": COMPLETE}, blocking=True),
    *check_specs(
        "skyinfo",
        {"known_tracts": "The tracts with objects are those of the packaged list."},
        blocking=False,
    ),
]


def known_tracts(found: Iterable[int], packaged: Iterable[int]) -> Verdict:
    """Compare the tracts that the archive holds objects in with the packaged list."""
    found, packaged = set(found), set(packaged)
    missing, new = sorted(packaged - found), sorted(found - packaged)
    return Verdict(
        check="known_tracts",
        passed=not missing and not new,
        summary=f"missing: {named(missing)}; new: {named(new)}",
        numbers={"tracts": len(found), "missing": len(missing), "new": len(new)},
        limits={"packaged": len(packaged)},
        rows=[
            *({"tract": tract, "is": "missing"} for tract in missing),
            *({"tract": tract, "is": "new"} for tract in new),
        ],
    )
