"""From a question to the archive to its answer, staged, whole and counted. No Dagster here.

Which questions there are stands in ``queries``; what is made of the answers, in ``assets``.
"""

from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.ingest.tap_ingest import BUSY_RETRY, TRANSIENT_RETRY, TapIngest

__all__ = ["BUSY_RETRY", "TRANSIENT_RETRY", "QueryLimits", "TableQuery", "TapIngest"]
