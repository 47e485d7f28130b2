"""How assets follow each other: the automation conditions, in force once the user turns the sensor on."""

from typing import Final

import dagster as dg

# A table follows its inputs as soon as they are new; a tract's follow that tract's.
FOLLOW: Final = dg.AutomationCondition.eager()

# What is made of many tracts follows when no tract is under way any more, whether or not all of them are there.
FOLLOW_SETTLED_TRACTS: Final = (
    dg.AutomationCondition.eager()
    .without(~dg.AutomationCondition.any_deps_missing())
    .with_label("tracts have settled")
)
