"""All that Dagster sees: assets, checks, automation, partitions, resources and the IO manager.

Thin shells: what is asked, computed and stored is decided in ``ingest``, ``science`` and ``lake``, which know no
Dagster.
"""
