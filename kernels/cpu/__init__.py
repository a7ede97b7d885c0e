"""The kernels that compiled loops make faster than their NumPy reference (Numba; importing this loads no Numba).

Each module offers functions of the same names and signatures as ``kernels.reference``, and with the same bits in the
result. They take float32 and float64; the first call of a kind compiles it, or loads it from the user's cache
folder.
"""
