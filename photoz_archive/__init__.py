"""A TAP service over DuckDB on loopback, with a simulated DC2-like sky, that speaks as Rubin's archive does.

``adql`` turns a query into DuckDB SQL and says which tracts it can reach; ``service`` is the web side: jobs,
documents, formats; ``sky`` makes the rows. Nothing here knows of the pipeline that asks.
"""
