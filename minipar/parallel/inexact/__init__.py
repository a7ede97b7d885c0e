"""Training that gives up exactness for fewer bytes, fewer meetings, or no waiting: to learn from, and to measure.

    compression.py         gradients travel in fewer bytes, every step            parallelize(…, compress="fp16")
    averaging.py           ranks train alone, and meet every few steps            PeriodicModelAverager
    parameter_server.py    nobody waits for the slowest, up to a bound            ParameterServer
    batch_stats.py         batch norm looks at each micro-batch alone             parallelize(…, batch_stats="micro")

Everything else in `parallel` has the losses and parameters of one process. What these differ by is measured in
docs/inexact.md.
"""
