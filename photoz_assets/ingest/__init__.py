"""From a question to the archive to its answer, staged, whole and counted. No Dagster here.

Which questions there are stands in ``queries``; what is made of the answers, in ``assets``.
"""

from photoz_assets.ingest.inquirer import BROKEN, BUSY, Inquirer
from photoz_assets.ingest.question import Question, Terms

__all__ = ["BROKEN", "BUSY", "Inquirer", "Question", "Terms"]
