"""Table contracts: what each stored table's columns are called, hold and mean.

A contract is the one source for the ADQL select list, the Arrow schema, the columns that Dagster shows, the
lineage and the check ``contract``. Where it depends on the release, a function makes it of one: once, so that a
release's contract is one object. What rows must satisfy beyond their types stands in ``selection``; how a table is
asked for, in ``queries``.

Types, units and UCDs of archive columns follow the release's schema (lsst/sdm_schemas).
"""
