"""The tracts as Dagster partitions: static, ascending, so that a range of them is a piece of the sky."""

from typing import Final

import dagster as dg

from photoz_assets.survey.dp02 import TRACTS

TRACT_PARTITIONS: Final = dg.StaticPartitionsDefinition([str(tract) for tract in TRACTS])
