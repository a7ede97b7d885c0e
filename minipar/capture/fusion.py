"""Neighbours become one operation, as in nn.Sequential, where nobody else reads between them: a layer and the ReLU
right after it, and the 2 × 2 max-pooling after these.

    Linear ─h─▶ ReLU ─y─▶            LinearReLU ─y─▶            forward
    Linear ◀─gh─ ReLU ◀─gy─          LinearReLU ◀─gy─           backward

The step itself runs as it is written. Beside it the whole is tried on the same numbers, and its kernels' calls are
noted, with the arrays that its parts gave in the place of its own. When the step is over and it turns out that `h` and
`gh` were read by nobody else, the whole takes the place of its parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np

from .. import tape
from ..ops.activation_rectified import ReLU
from ..ops.conv import Convolution, RectifiedConvolution
from ..ops.conv_pool import PooledConvolution
from ..ops.linear import Linear
from ..ops.op import Op
from ..ops.pool import MaxPool2dAlone
from .program import Forward, Pull, attributes
from .raw import Call, Watch
from .traced import arrays_in, root_of

Trial = Callable[..., tuple[Any, Watch]]

_HALVES = (2, 2), (2, 2), (0, 0), (1, 1)  # the geometry of the pooling that PooledConvolution does


def _pooled(layer: Convolution, relu: ReLU, pool: MaxPool2dAlone) -> Op | None:
    halves = pool.geometry == _HALVES and not pool.ceil_mode
    return PooledConvolution(*layer.geometry) if halves else None


_WHOLES: dict[tuple[type, ...], Callable[..., Op | None]] = {  # the parts, in order; what stands for them, if it can
    (Linear, ReLU): lambda layer, relu: None if layer.relu else Linear(relu=True),
    (Convolution, ReLU): lambda layer, relu: RectifiedConvolution(*layer.geometry),
    (Convolution, ReLU, MaxPool2dAlone): _pooled,
}
_LONGEST = max(map(len, _WHOLES))
_CLOSE = {"f": 1e-5, "d": 1e-12}  # by dtype.char, of the largest number: sums may be taken in another order


@dataclass
class Candidate:
    """Neighbours, each of which has the result of the one before, and the one that may take their place."""

    parts: list[Forward]
    whole: Forward

    def steps(self) -> list[Any]:
        """All that the whole would take the place of."""
        return [step for part in self.parts for step in (part, *part.pulls)]

    def between(self) -> list[np.ndarray]:
        """What would not be computed any more: results and gradients between the parts, and what these keep."""
        results = [part.outs[0] for part in self.parts[:-1]]
        gradients = [pull.outs[0] for part in self.parts[1:] for pull in part.pulls]
        return results + gradients + [array for part in self.parts for array in part.aside]

    def walked_back(self) -> bool:
        """Did the walk back come through all parts once, one right after the other?"""
        if any(len(part.pulls) != 1 for part in self.parts):
            return False
        pulls = [part.pulls[0] for part in self.parts]
        return all(later.outs[0] is earlier.grad for earlier, later in pairwise(pulls))

    def fits(self) -> bool:
        """Is what the parts did, forward and back, noted for the whole, and replayed no more slowly?"""
        if any(part.pulls for part in self.parts) and not (self.whole.pulls and self.walked_back()):
            return False
        return self.whole.all_raw() or not all(part.all_raw() for part in self.parts)


def candidates_ending(last: Forward, makers: Mapping[int, Forward], trial: Trial) -> Iterator[Candidate]:
    """The wholes whose last part is this operation. `makers`: by the id of its first result, each operation."""
    parts = [last]
    while len(parts) < _LONGEST and parts[0].args and id(parts[0].args[0]) in makers:
        parts.insert(0, makers[id(parts[0].args[0])])
        make = _WHOLES.get(tuple([type(part.op) for part in parts]))
        op = make(*[part.op for part in parts]) if make is not None else None
        whole = _forward(op, parts[0].args, last.outs[0], trial) if op is not None else None
        if whole is not None:
            yield Candidate(list(parts), whole)


def _forward(op: Any, args: list[Any], y: np.ndarray, trial: Trial) -> Forward | None:
    """The operation on these arguments, if it gives y."""
    op.aux = None
    (made,), watch = trial(op.forward, args)
    if not _close([made], [y]):
        return None
    calls = _instead(watch, [(made, y)], args)
    return Forward(op, args, [y], calls, [0], aside=attributes(op))


def note_pull(candidate: Candidate, trial: Trial) -> None:
    """Note the gradient of the whole, if it gives what the parts gave."""
    whole, of_first, of_last = candidate.whole, candidate.parts[0].pulls[0], candidate.parts[-1].pulls[0]
    op: Any = whole.op
    first: Any = of_first.op
    op.needs, op.inputs = first.needs, tuple(of_first.inputs)
    grad, saved = of_last.grad, [*of_first.saved, *(whole.outs if op.saves_output else ())]
    before, tape.mode.lends = tape.mode.lends, False
    try:
        made, watch = trial(op.vjp, [grad, *saved])
    finally:
        tape.mode.lends = before
    pairs = [(made[i], of_first.outs[i]) for i in of_first.fresh]
    if _close([x for x, _ in pairs], [y for _, y in pairs]):
        written = [call.args for call in whole.calls or ()]  # of what forward kept, only this is there in a replay
        given = [x for call in of_first.calls or () for x in arrays_in(call.args)]
        tables = [x for x in given if x.dtype.kind != "f"]  # of numbers, which the first part's kernels rely on too
        calls = _instead(watch, pairs, [grad, saved, written, tables], whole.aside)
        whole.pulls = [Pull(op, grad, saved, of_first.inputs, of_first.outs, calls, of_first.fresh, whole, None)]


def fuse(program: list[Any], candidates: Iterable[Candidate], kept: Sequence[np.ndarray]) -> list[Any]:
    """The program with wholes in the place of their parts, the longest first, where nobody looks between."""
    readers: dict[int, set[int]] = {}
    for step in program:
        for array in _arrays(step):
            readers.setdefault(id(root_of(array)), set()).add(id(step))
    returned = {id(root_of(array)) for array in kept}
    instead: dict[int, Any] = {}
    unwanted: list[Forward] = []
    for candidate in sorted(candidates, key=lambda candidate: -len(candidate.parts)):
        whole, first = candidate.whole, candidate.parts[0]
        whole.op.aux = None
        gone = {id(step) for step in candidate.steps()}
        roots = {id(root_of(array)) for array in candidate.between()}
        looked_at = roots & returned or any(readers.get(root, set()) - gone for root in roots)
        if looked_at or gone & set(instead) or not candidate.fits():
            unwanted.append(whole)
            continue
        instead.update(dict.fromkeys(gone))
        for old, new in zip([first, *first.pulls], [whole, *whole.pulls]):
            instead[id(old)] = new
    replaced = [instead.get(id(step), step) for step in program]
    unwanted += [step for step in program if isinstance(step, Forward) and id(step) in instead]
    for forward in unwanted:  # an end to their cycles, and so to their hold on the arrays
        forward.pulls = []
    return [step for step in replaced if step is not None]


def _arrays(step: Any) -> list[np.ndarray]:
    parts = ("args", "kwargs", "outs", "out", "grad", "saved", "array", "aside", "settled")
    return [array for part in parts for array in arrays_in(getattr(step, part, None))]


def _close(made: Sequence[Any], wanted: Sequence[np.ndarray]) -> bool:
    for x, y in zip(made, wanted):
        if x.shape != y.shape or x.dtype != y.dtype or y.dtype.char not in _CLOSE:
            return False
        scale = np.abs(y).max(initial=0)
        if not np.abs(x - y).max(initial=0) <= _CLOSE[y.dtype.char] * scale:
            return False
    return True


def _instead(
    watch: Watch, pairs: Sequence[tuple[Any, np.ndarray]], given: Sequence[Any], kept: Sequence[np.ndarray] = ()
) -> list[Call] | None:
    """The calls that were watched, with other arrays for what they made; None if that is not all that was done.

    `kept` by the operation, and so given to kernels too; it must be among what was `given` then.
    """
    known = {id(root_of(array)) for array in arrays_in(list(given))}
    loose = {id(root_of(array)) for array in kept} - known
    if loose & set(watch.before) or not watch.again([made for made, _ in pairs], known):
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
