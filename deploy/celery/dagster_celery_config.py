"""Celery's settings on the machines that work: a module of this name is what dagster-celery looks for."""

import os

broker_url = os.environ["DAGSTER_CELERY_BROKER_URL"]
result_backend = os.environ["DAGSTER_CELERY_BACKEND_URL"]
# A run takes minutes: a machine that is busy leaves the next one to others.
worker_prefetch_multiplier = 1
