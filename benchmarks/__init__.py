"""Benchmarks: our way and its alternatives side by side in one run. Read the ratios, not the seconds.

``__main__`` runs each measurement in a process of its own (``measure``), interleaved and repeated, and ``report``
writes what was found. What is measured stands in ``results`` (from a result to a table), ``tables`` (what is made
of a table) and ``runs`` (the archive and Dagster).
"""
