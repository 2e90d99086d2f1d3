"""Exact nearest neighbours of arrays: metrics, kernels, and `Neighbors`, the result that all else is computed from."""
