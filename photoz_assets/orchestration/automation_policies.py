"""How assets follow each other, and how old they may get.

The automation conditions are in force once the user turns the sensor on; the freshness policies always show.
"""

from datetime import timedelta
from typing import Final

import dagster as dg

from photoz_assets.survey.contracts.redshifts import MODEL_KIND

# A table follows its inputs as soon as they are new; a tract's follow that tract's.
FOLLOW: Final = dg.AutomationCondition.eager()

# What is made of many tracts follows when no tract is under way any more, whether or not all of them are there.
FOLLOW_SETTLED_TRACTS: Final = (
    dg.AutomationCondition.eager()
    .without(~dg.AutomationCondition.any_deps_missing())
    .with_label("tracts have settled")
)

# What is made of a table whose data version says whether its rows have changed follows only if they have.
FOLLOW_CHANGED: Final = (
    dg.AutomationCondition.eager()
    .replace(
        "any_deps_updated", dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed())
    )
    .with_label("rows have changed")
)

# What a tract and a model make follows the tract when it is new, and the model only if that has changed.
_MODELS: Final = dg.AssetSelection.kind(MODEL_KIND)
FOLLOW_TRACT_AND_MODEL: Final = (
    dg.AutomationCondition.eager()
    .replace(
        "any_deps_updated",
        dg.AutomationCondition.any_deps_updated().ignore(_MODELS)
        | dg.AutomationCondition.any_deps_match(dg.AutomationCondition.data_version_changed()).allow(_MODELS),
    )
    .with_label("the tract is new or the model has changed")
)

# What the archive says of itself is asked each Monday: one Monday missed warns, two fail.
ASKED_WEEKLY: Final = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=8), fail_window=timedelta(days=15))

# A tract's table is good for as long as the archive stays as it is: its age says nothing, ``refresh`` does.
