"""A run's own words on the terminal, one short line each, for people who watch a job in the foreground."""

import logging
import sys

import dagster as dg


@dg.logger({}, description="Prints what the assets say, without Dagster's events.")
def progress_logger(init_context: dg.InitLoggerContext) -> logging.Logger:  # noqa: ARG001 - Dagster's signature
    """Make a logger that prints messages of level INFO and above to the standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Words())
    # A registered logger would outlive the run, and Dagster has it hold on to the run and all that is in it.
    logger = logging.Logger("photoz_assets.orchestration.run_logger", level=logging.INFO)  # noqa: LOG001 - see above
    logger.addHandler(handler)
    return logger


class _Words(logging.Formatter):
    """Leaves of a Dagster log record what the asset said."""

    def format(self, record: logging.LogRecord) -> str:
        meta = getattr(record, "dagster_meta", {})
        return f"    {meta.get('orig_message', record.getMessage())}"
