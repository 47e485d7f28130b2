"""The Butler, the other access to the archive beside TAP: repositories and their tables.

Optional: the client library is imported only when a repository is opened. No Dagster, and nothing of the lake.
"""
