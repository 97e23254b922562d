"""Benchmarks: homerec against the naive way, in one run, and only where both answer the same."""
