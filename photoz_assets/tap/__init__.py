"""The TAP client: ADQL and an expected Arrow schema in, audited-complete Arrow batches or one typed error out.

`pyvo` writes the queries and reads the capabilities. What lives here is what it lacks: polling with a deadline,
abort before delete, the streamed download, the taxonomy of errors and the rules for the token. Nothing here
knows Dagster, the lake or what a galaxy is.
"""
