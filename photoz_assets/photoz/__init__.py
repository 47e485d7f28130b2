"""Photo-z: training sets out of the galaxies of the lake, and the files in which others take them."""
