"""The photo-z data of the Rubin archive as Dagster assets.

The way of the data is the way of the folders: ``tap`` asks the archive, ``ingest`` carries what it answers,
``storage`` stages, audits and publishes it, ``science`` looks at it, ``assets`` are the thin shells that Dagster
sees.
"""
