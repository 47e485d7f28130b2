"""From a question to the archive to its answer, staged, whole and counted. No Dagster here.

Which questions there are stands in ``queries``; what is made of the answers, in ``assets``.
"""

from photoz_assets.ingest.table_query import Question, Terms
from photoz_assets.ingest.tap_ingest import BROKEN, BUSY, Inquirer

__all__ = ["BROKEN", "BUSY", "Inquirer", "Question", "Terms"]
