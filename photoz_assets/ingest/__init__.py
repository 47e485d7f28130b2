"""From a table's query to the archive to its rows in the lake, whole, counted and audited. No Dagster here.

Which queries there are stands in ``survey.queries``; what they become in the graph of assets, in
``orchestration.assets``.
"""

from photoz_assets.ingest.archive_job import BUSY_RETRY, TRANSIENT_RETRY
from photoz_assets.ingest.table_query import QueryLimits, TableQuery
from photoz_assets.ingest.tap_ingest import TapIngest
from photoz_assets.ingest.tract import fetch_tract

__all__ = ["BUSY_RETRY", "TRANSIENT_RETRY", "QueryLimits", "TableQuery", "TapIngest", "fetch_tract"]
