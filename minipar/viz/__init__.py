"""Pictures as plain SVG text: notebooks, GitHub and browsers show them as they are, with no plotting library."""

from .curve import Curve, curve
from .graph import Graph, graph
from .trace import Trace

__all__ = ["Curve", "Graph", "Trace", "curve", "graph"]
