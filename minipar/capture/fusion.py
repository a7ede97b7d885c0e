"""A layer and the ReLU right after it become one operation, as in nn.Sequential, where nobody else reads between them.

    Linear ─h─▶ ReLU ─y─▶            LinearReLU ─y─▶            forward
    Linear ◀─gh─ ReLU ◀─gy─          LinearReLU ◀─gy─           backward

The step itself runs as it is written. Beside it the fused operation is tried on the same numbers, and its kernels'
calls are noted, with the arrays that the two operations gave in the place of its own. When the step is over and it
turns out that `h` and `gh` were read by nobody else, the one takes the place of the two.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import tape
from ..ops.conv import Convolution, RectifiedConvolution
from ..ops.linear import Linear
from ..ops.op import Op
from .program import Forward, Pull
from .raw import Call, Watch
from .traced import arrays_in, root_of

_FUSED: dict[type, Callable[[Any], Op]] = {
    Linear: lambda op: Linear(relu=True),
    Convolution: lambda op: RectifiedConvolution(*op.geometry),
}
_CLOSE = {"f": 1e-5, "d": 1e-12}  # by dtype.char, of the largest number: sums may be taken in another order


@dataclass
class Candidate:
    """Two operations, and the one that may take their place."""

    layer: Forward
    relu: Forward
    whole: Forward
    pull: Pull | None = None


def fused_forward(layer: Forward, relu: Forward, trial: Callable[..., tuple[Any, Watch]]) -> Candidate | None:
    """The candidate, if `layer` is one that has a fused form, and that gives what `relu` gave."""
    make = _FUSED.get(type(layer.op))
    if make is None or getattr(layer.op, "relu", False):
        return None
    op: Any = make(layer.op)
    op.aux = None
    (y,) = relu.outs
    (made,), watch = trial(op.forward, layer.args)
    if not _close([made], [y]):
        return None
    calls = _instead(watch, [(made, y)], layer.args)
    return Candidate(layer, relu, Forward(op, layer.args, [y], calls, [0]))


def fused_pull(candidate: Candidate, of_relu: Pull, of_layer: Pull, trial: Callable[..., tuple[Any, Watch]]) -> None:
    """Note the gradient of the fused operation, if it gives what the two gave."""
    op: Any = candidate.whole.op
    layer: Any = of_layer.op
    op.needs, op.edges, op.inputs = layer.needs, layer.edges, tuple(of_layer.inputs)
    saved = [*of_layer.saved, candidate.relu.outs[0]]
    before, tape.mode.lends = tape.mode.lends, False
    try:
        made, watch = trial(op.vjp, [of_relu.grad, *saved])
    finally:
        tape.mode.lends = before
    pairs = [(made[i], of_layer.outs[i]) for i in of_layer.fresh]
    if _close([x for x, _ in pairs], [y for _, y in pairs]):
        calls = _instead(watch, pairs, [of_relu.grad, *saved])
        whole = candidate.whole
        candidate.pull = Pull(
            op, of_relu.grad, saved, of_layer.inputs, of_layer.outs, calls, of_layer.fresh, whole, None
        )


def fuse(program: list[Any], candidates: Sequence[Candidate], kept: Sequence[np.ndarray]) -> list[Any]:
    """The program with the fused operations in the place of the pairs that nobody looks between."""
    readers: dict[int, list[Any]] = {}
    for step in program:
        for root in {id(root_of(array)) for array in _arrays(step)}:
            readers.setdefault(root, []).append(step)
    returned = {id(root_of(array)) for array in kept}
    instead: dict[int, Any] = {}
    for pair in candidates:
        between: list[tuple[np.ndarray, list[Any]]] = [(pair.layer.outs[0], [pair.layer, pair.relu])]
        if pair.layer.pulls or pair.relu.pulls:
            if pair.pull is None or len(pair.layer.pulls) != 1 or len(pair.relu.pulls) != 1:
                continue
            between.append((pair.relu.pulls[0].outs[0], [pair.relu.pulls[0], pair.layer.pulls[0]]))
        if all(_only(readers, returned, array, steps) for array, steps in between):
            instead[id(pair.layer)], instead[id(pair.relu)] = pair.whole, None
            if pair.pull is not None:
                pair.whole.pulls = [pair.pull]
                instead[id(pair.layer.pulls[0])], instead[id(pair.relu.pulls[0])] = pair.pull, None
    replaced = [instead.get(id(step), step) for step in program]
    for pair in candidates:
        pair.whole.op.edges = ()
        if id(pair.layer) in instead:  # an end to the cycles of what is gone, and so to its hold on the arrays
            pair.layer.pulls, pair.relu.pulls = [], []
    return [step for step in replaced if step is not None]


def _only(readers: dict[int, list[Any]], returned: set[int], array: np.ndarray, steps: list[Any]) -> bool:
    root = id(root_of(array))
    return root not in returned and {id(step) for step in readers.get(root, ())} <= {id(step) for step in steps}


def _arrays(step: Any) -> list[np.ndarray]:
    parts = ("args", "kwargs", "outs", "out", "grad", "saved", "array", "aside")
    return [array for part in parts for array in arrays_in(getattr(step, part, None))]


def _close(made: Sequence[Any], wanted: Sequence[np.ndarray]) -> bool:
    for x, y in zip(made, wanted):
        if x.shape != y.shape or x.dtype != y.dtype or y.dtype.char not in _CLOSE:
            return False
        scale = np.abs(y).max(initial=0)
        if not np.abs(x - y).max(initial=0) <= _CLOSE[y.dtype.char] * scale:
            return False
    return True


def _instead(watch: Watch, pairs: Sequence[tuple[Any, np.ndarray]], given: Sequence[Any]) -> list[Call] | None:
    """The calls that were watched, with other arrays for what they made; None if that is not all that was done."""
    known = {id(root_of(array)) for array in arrays_in(list(given))}
    if not watch.again([made for made, _ in pairs], known):
        return None
    places = {id(root_of(made)): (made, wanted) for made, wanted in pairs}
    calls = []
    for call in watch.calls:
        args = [_moved(x, places) for x in call.args]
        if call.named or any(x is None and y is not None for x, y in zip(args, call.args)):
            return None
        calls.append(Call(call.kernel, tuple(args), {}, call.returned))
    return calls


def _moved(x: Any, places: dict[int, tuple[np.ndarray, np.ndarray]]) -> Any:
    """The same view of the array that is to be written; None if it cannot be told."""
    if not isinstance(x, np.ndarray) or id(root_of(x)) not in places:
        return x
    made, wanted = places[id(root_of(x))]
    if made.strides != wanted.strides or not wanted.flags.c_contiguous or x.size != made.size:
        return None
    return wanted.reshape(x.shape) if x.flags.c_contiguous else None
