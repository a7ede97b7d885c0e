"""Is a gradient right? Central differences in float64 against the tape.

    f(x + h eᵢ) − f(x − h eᵢ)
    ─────────────────────────  =  ∂f/∂xᵢ + O(h²)
               2 h

Every element of every input is moved, and every element of every output watched: the full Jacobian, as in PyTorch's
`gradcheck` in its slow mode. `gradgradcheck` does the same to the gradient. Where the two differences to the left
and to the right disagree, the function has a kink there (ReLU at 0, max at a tie), and the error says so: no formula
could pass, the input must move.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .. import tape
from ..backend import on_device, to_numpy
from ..backend.current_gpu import on_its_gpu
from ..tape import Value, set_grad_mode
from ..tensor import Tensor, wrap
from .engine import grad


class GradcheckError(RuntimeError):
    """The analytic gradient differs from the numeric one."""


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """Check the gradients of `func(*inputs)` with respect to every float64 input that requires grad.

    `func` returns a Tensor or a tuple of them. True if |analytic − numeric| ≤ atol + rtol |numeric| for every element;
    else GradcheckError naming the operation, the input, the output and the elements at fault, or whether the input
    stands on a kink (or False, without `raise_exception`). ValueError if an input that requires grad is not float64,
    if none requires grad, or if no output depends on them.

    >>> x = minipar.tensor([0.5, 2.0], dtype=minipar.float64, requires_grad=True)
    >>> minipar.autograd.gradcheck(minipar.log, x)
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _checked(arguments)
    try:
        outputs = _outputs(func, arguments)
        if not any(y.tracked for y in outputs):
            raise ValueError("gradcheck: no output depends on the inputs that require grad")
        for o, y in enumerate(outputs):
            if y.is_floating_point():
                for i in checked:
                    _compare(func, arguments, o, y, i, eps, atol, rtol)
    except GradcheckError:
        if raise_exception:
            raise
        return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-5,
    raise_exception: bool = True,
) -> bool:
    """Check the gradient of the gradient: `gradcheck` of the function (inputs, grad_outputs) ↦ gradients.

    `grad_outputs` are drawn at random unless given. Arguments, results and errors otherwise as in gradcheck.

    >>> x = minipar.tensor([0.5, 2.0], dtype=minipar.float64, requires_grad=True)
    >>> minipar.autograd.gradgradcheck(minipar.log, x)
    True
    """
    arguments = (inputs,) if isinstance(inputs, Tensor) else tuple(inputs)
    checked = _checked(arguments)
    outputs = [y for y in _outputs(func, arguments) if y.tracked]
    if grad_outputs is None:
        draw = np.random.default_rng(0)
        weights = [wrap(on_device(draw.standard_normal(y.shape), y.device)).requires_grad_() for y in outputs]
    else:
        weights = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs)
        weights = [w.detach().requires_grad_() for w in weights]

    def gradients(*both: Any) -> tuple[Any, ...]:
        xs, gs = both[: len(arguments)], both[len(arguments) :]
        ys = [y for y in _outputs(func, xs) if y.tracked]
        return grad(ys, [xs[i] for i in checked], gs, create_graph=True, materialize_grads=True)

    gradients.__name__ = f"the gradient of {_name(func)}"
    return gradcheck(gradients, (*arguments, *weights), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)


def _checked(arguments: tuple) -> list[int]:
    """Positions of the inputs whose gradients are checked."""
    found = [i for i, x in enumerate(arguments) if isinstance(x, Tensor) and x.requires_grad]
    if not found:
        raise ValueError("gradcheck: at least one input must be a tensor with requires_grad=True")
    for i in found:
        if arguments[i].dtype != np.float64:
            raise ValueError(
                f"gradcheck needs float64 inputs, but input {i} is {arguments[i].dtype.name}: differences of "
                f"{arguments[i].dtype.name} numbers are mostly rounding. Make it x.double().detach().requires_grad_()"
            )
    return found


def _name(func: Callable) -> str:
    owner = getattr(func, "__self__", None)  # a Function's apply is known by the Function
    return owner.__name__ if isinstance(owner, type) else getattr(func, "__name__", type(func).__name__)


def _outputs(func: Callable, arguments: Sequence[Any]) -> tuple[Tensor, ...]:
    made = func(*arguments)
    made = made if isinstance(made, (tuple, list)) else (made,)
    for y in made:
        if not isinstance(y, Tensor):
            raise ValueError(f"gradcheck: {_name(func)} must return tensors, not {type(y).__name__}")
    return tuple(made)


@on_its_gpu
def _analytic(y: Tensor, x: Tensor) -> np.ndarray:
    """The Jacobian by the tape, one backward pass an output element: shape (y.numel, x.numel)."""
    rows = np.zeros((y.numel(), x.numel()))
    if not y.tracked:
        return rows
    for k in range(y.numel()):
        seed = np.zeros(y.shape, y.dtype)
        seed.reshape(-1)[k] = 1.0
        (g,) = grad(y, x, wrap(on_device(seed, y.device)), retain_graph=True, allow_unused=True)
        if g is not None:
            if g.shape != x.shape or g.dtype != x.dtype:
                raise GradcheckError(
                    f"{_operation(y)}: the gradient has shape {g.shape} and dtype {g.dtype.name}, its input has "
                    f"shape {x.shape} and dtype {x.dtype.name}"
                )
            rows[k] = to_numpy(g.array).reshape(-1)
    return rows


@on_its_gpu
def _numeric(func: Callable, arguments: tuple, o: int, i: int, eps: float) -> tuple[np.ndarray, np.ndarray]:
    """The differences to the right and to the left, as Jacobians: their mean is the central difference."""
    x = arguments[i]
    right: list[np.ndarray] = []
    left: list[np.ndarray] = []
    with set_grad_mode(tape.mode.grad):  # the function may switch it; gradients inside (gradgradcheck) need it on
        middle = _flat(func, arguments, o)
        for k in range(x.numel()):
            moved = x.array.copy()
            place = np.unravel_index(k, x.shape)
            for step, columns in ((eps, right), (-eps, left)):
                moved[place] = x.array[place] + step
                there = (*arguments[:i], wrap(moved.copy()).requires_grad_(), *arguments[i + 1 :])
                columns.append(_difference(_flat(func, there, o), middle) / step)
    empty = np.zeros((middle.size, 0))
    return (np.stack(right, 1), np.stack(left, 1)) if right else (empty, empty)


def _difference(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """a − b, and 0 between equal infinities."""
    with np.errstate(invalid="ignore"):
        return np.where(a == b, 0.0, a - b)


def _flat(func: Callable, arguments: Sequence[Any], o: int) -> np.ndarray:
    return to_numpy(_outputs(func, arguments)[o].array).reshape(-1).copy()


def _operation(y: Tensor) -> str:
    return "a leaf" if y.node is None else y.node.name()


def _compare(func: Callable, arguments: tuple, o: int, y: Tensor, i: int, eps: float, atol: float, rtol: float) -> None:
    x = arguments[i]
    analytic = _analytic(y, x)
    right, left = _numeric(func, arguments, o, i, eps)
    numeric = (right + left) / 2
    wrong = ~(np.abs(analytic - numeric) <= atol + rtol * np.abs(numeric))
    if not wrong.any():
        return
    error = np.where(wrong, np.abs(analytic - numeric), -1.0)
    error[wrong & np.isnan(error)] = np.inf
    k, j = np.unravel_index(int(error.argmax()), error.shape)
    at_y, at_x = _place(k, y.shape), _place(j, x.shape)
    message = (
        f"gradcheck of {_name(func)}: ∂output[{o}]{at_y} / ∂input[{i}]{at_x} is {analytic[k, j]:.9g} by the tape, "
        f"{numeric[k, j]:.9g} by differences; {int(wrong.sum())} of {wrong.size} elements are wrong. "
    )
    if abs(right[k, j] - left[k, j]) > 1e-3 * max(1.0, abs(right[k, j]), abs(left[k, j])):
        message += (
            f"The input stands on a kink there (slope {left[k, j]:.6g} to the left, {right[k, j]:.6g} to the right): "
            "no gradient can agree; move the input away from it."
        )
    else:
        message += _guilty(func, arguments, eps, atol, rtol)
    raise GradcheckError(message)


def _place(flat: Any, shape: tuple[int, ...]) -> str:
    return str([int(n) for n in np.unravel_index(flat, shape)]) if shape else ""


def _guilty(func: Callable, arguments: tuple, eps: float, atol: float, rtol: float) -> str:
    """Name the first operation whose own gradient is wrong, by checking each that `func` runs on its own."""
    ran: list[tuple[Any, list[Any]]] = []

    def note(node: Any, inputs: tuple, outputs: Any) -> None:
        ran.append((node, [(x.array.copy(), x.tracked) if isinstance(x, Value) else (x, None) for x in inputs]))

    watching = tape.mode.watch
    tape.mode.watch = note
    try:
        func(*arguments)
    finally:
        tape.mode.watch = watching
    for node, inputs in ran:
        alone = tuple([x if tracked is None else wrap(x).requires_grad_(tracked) for x, tracked in inputs])
        for o, y in enumerate(_outputs(node.again, alone)):
            for i, x in enumerate(alone):
                if isinstance(x, Tensor) and x.requires_grad and y.tracked:
                    right, left = _numeric(node.again, alone, o, i, eps)
                    numeric = (right + left) / 2
                    if not (np.abs(_analytic(y, x) - numeric) <= atol + rtol * np.abs(numeric)).all():
                        return f"The operation at fault is {node.name()}, in the gradient of its input {i}."
    return (
        f"Each operation passes on its own ({' → '.join(node.name() for node, _ in ran)}): look at how they are joined."
    )
