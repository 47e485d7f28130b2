"""A simulated sky like DC2's, made tract by tract: true sources, what a survey measures of them, and the match.

``population`` draws galaxies, ``truth`` places them and the stars, ``blending`` and ``measurement`` observe them,
``objects`` and ``matching`` write the tables of DP0.2, ``store`` keeps them. No rows of DC2 are in it: all
positions, fluxes and redshifts are drawn at random.
"""
