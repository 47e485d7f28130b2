"""The asset checks that are no rule of one table: they compare tables with each other or with the archive.

What a table itself must satisfy stands in its spec (``survey.contracts``); how rules are held against it, in
``lake.audit``.
"""
