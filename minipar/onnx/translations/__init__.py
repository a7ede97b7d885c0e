"""What each operation is in ONNX: one small function an operation, one file a family.

@translates(Tanh)
def tanh(graph, step, x):       # the names of the inputs
    return graph.add("Tanh", x)  # the name of the output
"""

from . import arrange, layers, pointwise, products, recurrent, reductions, windows
from .table import translate, translated

__all__ = [
    "arrange",
    "layers",
    "pointwise",
    "products",
    "recurrent",
    "reductions",
    "translate",
    "translated",
    "windows",
]
