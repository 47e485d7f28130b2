"""ADQL to DuckDB SQL, through a syntax tree that an allow-list has checked.

A query passes ``grammar`` (text to tree), ``allowlist`` (what may stand in the tree), ``resolver`` (what each
name means), ``tract_pruning`` (which tracts its constants can reach) and ``rewriter`` (ADQL's functions and
regions as DuckDB's); ``translator`` does all of it. Nothing here opens a database or a file.
"""
