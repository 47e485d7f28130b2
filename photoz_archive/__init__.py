"""The embedded archive: a TAP service over DuckDB with a simulated DC2-like sky, which answers as Rubin's does.

A package of its own: of the pipeline it uses the survey's facts (``photoz_assets.survey``) alone, and its
libraries are the extra ``archive``.

``adql`` turns a query into DuckDB SQL and finds the tracts that it can reach; ``service`` is the web side: jobs,
documents, formats; ``sky`` makes the rows; ``images`` draws them; ``butler`` offers both as a Butler repository.
"""
