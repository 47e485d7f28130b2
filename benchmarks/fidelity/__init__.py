"""How like DC2's the simulated galaxies are: the real sample, the fit to it, and the comparison.

The sample is read out of the wheel of ``pz-rail-base`` 2.0.11 (MIT, copyright 2023 LSST Dark Energy Science
Collaboration), which nothing else here needs; no row of it is kept. ``python -m benchmarks.fidelity WHEEL``
compares and writes ``docs/fidelity.md``; ``python -m benchmarks.fidelity.fit WHEEL OUT.npz`` fits the population
anew.
"""
