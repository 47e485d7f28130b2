"""Facts as data: bands, skymap, tracts, the tables' contracts, the selection, and the queries that follow of them.

Nothing here asks, reads or writes anything.
"""
