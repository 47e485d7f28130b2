"""RAIL's estimators, unchanged, on the files that we export for RAIL, beside our forest on the same rows.

RAIL lives in an environment of its own, that of ``make rail``; files alone pass between the two. ``theirs`` is run
there, ``ours`` here, both in the same way. ``python -m benchmarks.rail ENVIRONMENT`` writes ``docs/rail.md``.
"""
