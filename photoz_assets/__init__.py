"""The photo-z data of the Rubin archive as Dagster assets.

The way of the data is the way of the folders: ``tap`` asks the archive, ``storage`` stages, audits and
publishes what it answers, ``science`` looks at it, ``assets`` are the thin shells that Dagster sees.
"""
