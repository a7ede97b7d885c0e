"""Hand-written kernels: arrays in, arrays out. They know nothing of tensors, tapes or layers.

``reference``  the plain NumPy (or CuPy) form of every kernel: what a student reads and what the tests compare with
``cpu``        Numba, compiled lazily and cached on disk
``cuda``       Numba-CUDA, compiled to a cubin and launched through CuPy
``simulate``   runs a CUDA kernel, yours or ours, on the CPU: finds its faults, counts its memory transactions
"""

if __name__ != "minipar.kernels":
    raise ImportError(
        f"import this package as minipar.kernels, not as {__name__!r} (PyPI's 'kernels' is another project)"
    )
