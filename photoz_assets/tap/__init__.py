"""The TAP client: ADQL and an expected Arrow schema in, complete Arrow batches or one typed error out.

What lives here is what no library has: polling with a deadline, abort before delete, the streamed download, the
taxonomy of errors and the rules for the token. Nothing here knows Dagster, the lake or what a galaxy is, and
nothing here imports pyvo or astropy, which take half a second of processor in each run's process.
"""
