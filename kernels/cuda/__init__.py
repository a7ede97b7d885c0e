"""The hand-written CUDA kernels: CuPy arrays in, new CuPy arrays out (importing this loads neither Numba nor CuPy).

``matmul``, ``linear``, ``conv2d``
                        the kernels and their host functions, with the names and signatures of ``kernels.reference``;
                        ``matmul`` and ``conv2d`` are ladders: a kernel for each idea that makes it faster
``precision``           whether float32 matrices may be multiplied with fewer bits, on tensor cores
``plan``                what the two share: a kernel, and one planned launch of it
``launcher``            runs a plan on the GPU, through ``compiler`` (Numba -> PTX -> cubin) and ``cubin_cache``
``interpreter``         runs the same plan on the CPU over NumPy arrays, by ``kernels.simulate``
``intrinsics``          what Numba cannot say: 16-byte accesses, tensor cores; ``twins`` is their meaning in Python
``detect``              is there a usable GPU, and why not
"""
