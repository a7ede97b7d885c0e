"""The plain array form of every kernel: what a student reads, what the tests compare with, what a fallback runs.

Written once over the array namespace (NumPy, or CuPy for arrays on a GPU), dtype-preserving, for operands of any
strides and for empty batches. One file an idea.
"""
