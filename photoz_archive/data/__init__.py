"""Packaged facts: the tract list, the archive's schema and the galaxy population. See README.md here."""
