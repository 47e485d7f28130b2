"""Pixels of the archive: coadds read in boxes, without the LSST stack. No Dagster.

astropy is imported when a file is opened: nothing here costs a run that looks at no image.
"""
