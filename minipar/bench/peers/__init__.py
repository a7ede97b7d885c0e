"""The contenders, a file each: an ordinary training step as that library's documentation writes it.

``problem``   the numbers that all start from, for libraries that are not spelled like PyTorch

Each file has one function, `prepare(workload, …) → Prepared`, and imports its library when it is called.
"""
