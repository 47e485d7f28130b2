"""The astronomy: geometry of the sky, photometry, statistics and figures. No Dagster, no archive, no lake."""
