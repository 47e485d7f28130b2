"""The check of a sample that needs no audit: whether it can be drawn from the tracts that the lake holds."""

from collections.abc import Mapping

from photoz_assets.lake.provenance import ArchiveIdentity, Provenance
from photoz_assets.orchestration.checks.galaxies import mixed_tracts
from photoz_assets.survey.checks import Verdict
from photoz_assets.survey.contracts.photoz import TRACTS_ALIKE
from photoz_assets.survey.releases.release import Release
from photoz_assets.survey.sampling import Sampling
from photoz_assets.text import listed


def tracts_alike(sources: Mapping[int, Provenance], release: Release, sampling: Sampling) -> Verdict:
    """Judge whether one sample can be drawn from some tracts.

    Parameters
    ----------
    sources
        Of each tract, where its ``photoz_galaxies`` came from.
    release
        The release that they must be of.
    sampling
        The sampling that they must have been split and drawn by; sizes do not count.
    """
    problems = []
    if not sources:
        problems.append("the lake holds no tract yet: materialize photoz_galaxies first")
    archives = {tract: source.archive for tract, source in sources.items() if source.archive}
    foreign = [tract for tract, archive in archives.items() if archive.release.lower() != release.schema]
    if foreign:
        problems.append(
            f"tract {listed(foreign)} is not of {release.title}: remove it, or set PHOTOZ_DATA_DIR to another lake"
        )
    others = [tract for tract, source in sources.items() if source.sampling != sampling.of_a_galaxy]
    if others:
        problems.append(
            f"tract {listed(others)} is of another sampling than {sampling.text}: make photoz_galaxies of it again"
        )
    declared = {tract: _declared(archive) for tract, archive in archives.items()}
    selections = {tract: release.text_of(each.selection) for tract, each in sources.items() if each.selection}
    for kinds, what in ((declared, "archives"), (selections, "selections")):
        if mixed := mixed_tracts(kinds, what):
            problems.append(mixed)
    return Verdict(
        check=TRACTS_ALIKE,
        passed=not problems,
        summary="; ".join(problems) or f"drawn from tract {listed(sorted(sources))}",
        numbers={"tracts": len(sources)},
        limits={"sampling": sampling.text},
    )


def _declared(archive: ArchiveIdentity) -> str:
    """Return in words what tells an archive from others."""
    release, simulated, density, seed = archive.declaration
    return f"{release}, simulated, density {density}, seed {seed}" if simulated else release
