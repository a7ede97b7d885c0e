"""Task parallelism: independent jobs, over the workers of a pool or any executor, in whatever order suits them."""
