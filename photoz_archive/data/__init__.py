"""The packaged population of the simulated galaxies. See README.md here."""
