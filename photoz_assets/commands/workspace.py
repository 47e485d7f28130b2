"""The Dagster workspace that the page shows: the checkout's, or one that is made of some releases."""

import json
from collections.abc import Sequence
from pathlib import Path

from photoz_assets.environment import checkout_root
from photoz_assets.survey.releases import release_named


def workspace_of(releases: Sequence[str], home: Path) -> Path:
    """Return a workspace of releases, a code location each; without any, the checkout's.

    Parameters
    ----------
    releases
        Their names.
    home
        Dagster's folder, where a workspace is written that is not in the checkout.

    Raises
    ------
    UnknownReleaseError
        There is no release of a name.
    """
    own = checkout_root() / "workspace.yaml"
    if not releases and own.is_file():
        return own
    names = [release_named(name).name for name in dict.fromkeys(releases)]
    locations = [
        {"module_name": "photoz_assets.locations", "attribute": name, "location_name": name} for name in names
    ] or [{"module_name": "photoz_assets.definitions"}]
    made = home / "workspace.yaml"
    # JSON is YAML as well.
    made.write_text(json.dumps({"load_from": [{"python_module": location} for location in locations]}))
    return made
