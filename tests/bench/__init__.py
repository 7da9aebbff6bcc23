"""Benchmarks: ratios against a reference in the same run. Installed as `kernel_sim.bench`; `kernel-sim bench` prints them.

These measure whole operations many times over and take the best of some rounds, each beside its reference, because machines are shared and noisy:
trust the ratios, not the times.
"""
