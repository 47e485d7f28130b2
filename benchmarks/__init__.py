"""Benchmarks: our way and its alternatives side by side in one run. Read the ratios, not the seconds."""
