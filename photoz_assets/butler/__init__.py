"""The Butler, the archive's second door: repositories and what is read of them.

Optional: the client library is only imported when a repository is opened. No Dagster here.
"""
