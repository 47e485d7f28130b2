"""Pixels of the archive: coadds read in boxes, stamps cut out of them and held against the catalogue. No Dagster.

A file of a repository is read by ``coadd`` and described by ``facts``. Of the archive's services, ``cutouts`` cuts
and keeps, ``choice`` says which galaxies, ``sheet`` and ``field`` put together, ``audit`` judges. All without the
LSST stack; astropy is imported when a file is opened: nothing here costs a run that looks at no image.
"""
