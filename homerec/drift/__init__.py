"""Drift: histograms on frozen edges, the Chebyshev distance between two, and what follows."""
