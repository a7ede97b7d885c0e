"""The hand-written CUDA kernels: CuPy arrays in, new CuPy arrays out (importing this loads neither Numba nor CuPy).

``matmul``, ``conv2d``  the kernels and their host functions, with the names and signatures of ``kernels.reference``
``plan``                what the two share: a kernel, and one planned launch of it
``launcher``            runs a plan on the GPU, through ``compiler`` (Numba -> PTX -> cubin) and ``cubin_cache``
``interpreter``         runs the same plan on the CPU over NumPy arrays, and finds races and stray reads with their line
``detect``              is there a usable GPU, and why not
"""
