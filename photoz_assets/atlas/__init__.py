"""The atlas: a static site of the lake, for whoever has a browser and neither Dagster nor Python.

The way is the modules': ``facts`` gathers what the lake holds, ``sky`` projects the tracts, ``history`` keeps how
good the redshifts were, ``pages`` makes HTML of it, ``site`` writes what has changed. Pages link relatively and
bring all that they show, so that the folder works wherever it is put.
"""
