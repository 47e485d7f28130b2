"""The simulated sky in pixels: its coadds, drawn when somebody looks at them and never stored.

``profiles`` says how light spreads, ``drawing`` draws the sources of a tract, ``pixels`` adds noise and masks,
``files`` writes them as DP0.2 has its coadds, ``observations`` lists them.
"""
