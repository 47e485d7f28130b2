"""The assets: thin shells around ``ingest``, ``storage`` and ``science``, a module a group of the graph.

``geometry`` and ``survey`` hold the checks that run beside an asset, ``shell`` what all share. What is asked, what
is computed and what must hold stands elsewhere; here stands what depends on what, and what a page of the UI says
of it.
"""
