"""The hand-written CUDA kernels: CuPy arrays in and out (importing this loads neither Numba nor CuPy).

``matmul``, ``linear``, ``conv2d``
                        the kernels and their host functions, with the names and signatures of ``kernels.reference``;
                        ``matmul`` and ``conv2d`` are ladders: a kernel for each idea that makes it faster
``cross_entropy``, ``layer_norm``, ``batch_norm``, ``max_pool2d``, ``avg_pool2d``, ``picked_rows``, ``optimizer_steps``
                        likewise: a launch or two each, where the reference's lines over CuPy are many
``relu_gradient``, ``running_statistics``, ``dropout``
                        one launch each way
``recurrent``           likewise RNN, LSTM and GRU: all steps in one launch, or two launches a step
``rows``                rows among threads, and sums and maxima that the threads of a row find together;
                        ``channel_sums`` and ``strips``: sums of channels and columns, likewise in a fixed order;
                        ``planes``: places in images
``wrong_targets``       what a loss's kernel could not say while it ran
``precision``           whether float32 matrices may be multiplied with fewer bits, on tensor cores
``plan``                what all of these prepare: a kernel, and one planned launch of it
``launcher``            runs a plan on the GPU, through ``compiler`` (Numba -> PTX -> cubin) and ``cubin_cache``, which
                        keeps what is compiled on disk
``disassembler``        reads the machine code of a compiled kernel
``occupancy``           how many blocks of a compiled kernel a multiprocessor holds at once
``interpreter``         runs the same plan on the CPU over NumPy arrays, by ``kernels.simulate``
``intrinsics``          what Numba cannot say: 16-byte accesses, tensor cores; ``twins`` is their meaning in Python
``detect``              is there a usable GPU, and why not
"""
