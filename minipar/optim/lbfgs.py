"""L-BFGS: Newton's direction from the last gradients, along with a line search."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from ..autograd import enable_grad
from ..backend import namespace
from ..backend.current_gpu import on_gpu_of
from ..ops.inplace import write
from ..tensor import Tensor, wrap
from .optimizer import Optimizer
from .strong_wolfe import Trial, strong_wolfe

_MEMORY = ("d", "t", "old_dirs", "old_stps", "ro", "H_diag", "prev_flat_grad", "prev_loss")


class LBFGS(Optimizer):
    """Up to `max_iter` times p ← p + t·d, with d = −H·g and H the inverse Hessian as the last gradients show it.

    Nocedal & Wright, Numerical optimization, algorithm 7.4, over `history_size` pairs. t is lr, or, with
    `line_search_fn="strong_wolfe"`, what a line search from lr finds. It ends early where no gradient exceeds
    `tolerance_grad`, where step or loss change less than `tolerance_change`, and after `max_eval` (1.25·max_iter)
    calls of the closure. One parameter group. State, that of the first parameter, as in PyTorch. ValueError for more
    groups, and for a rank's share of a model that is split; RuntimeError for another line search.

    >>> p = nn.Parameter(minipar.tensor([3.0, -2.0]))
    >>> optimizer = optim.LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = ((p - 1) ** 2).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item(), [round(x, 5) for x in p.tolist()]
    (13.0, [1.0, 1.0])
    """

    not_negative = ("lr",)
    elementwise = False  # its steps are made of dot products over all parameters
    needs_closure = True

    def __init__(
        self,
        params: Iterable[Any],
        lr: float | Tensor = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": max_iter,
            "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
            "tolerance_grad": tolerance_grad,
            "tolerance_change": tolerance_change,
            "history_size": history_size,
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(
                f"LBFGS takes one parameter group, not {len(self.param_groups)}: it has no options of a group"
            )

    def step(self, closure: Callable[[], Any]) -> Any:  # type: ignore[override]
        """Minimise what `closure` computes: it clears the gradients, calls backward and returns the loss.

        Returns the loss at the beginning.
        """
        with on_gpu_of(self.param_groups[0]["params"][0].array):
            return self._minimise(closure)

    def _minimise(self, closure: Callable[[], Any]) -> Any:
        (group,) = self.param_groups
        self._check_whole(group["params"])  # the model may have been split since
        lr, tolerance_change = float(group["lr"]), group["tolerance_change"]
        if group["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"line_search_fn must be None or 'strong_wolfe', not {group['line_search_fn']!r}")
        evaluate = _Objective(group["params"], closure)
        state = self.state[group["params"][0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)
        first_loss, grad = evaluate()
        loss, evaluations = float(first_loss), 1
        state["func_evals"] += 1
        if _largest(grad) <= group["tolerance_grad"]:
            return first_loss
        memory = _Memory(state, group["history_size"])
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            first = state["n_iter"] == 1
            memory.start(grad) if first else memory.turn(grad)
            memory.prev_flat_grad, memory.prev_loss = grad.copy(), loss
            memory.t = min(1.0, 1.0 / abs(grad).sum()) * lr if first else lr
            slope = grad.dot(memory.d)
            if slope > -tolerance_change:
                break
            made = 0
            if group["line_search_fn"]:
                start = Trial(0, loss, grad, slope)
                (memory.t, loss, grad, _), made = strong_wolfe(
                    lambda t: evaluate.along(t, memory.d),
                    start,
                    memory.t,
                    _largest(memory.d),
                    group["max_eval"] - evaluations,
                    1e-9,
                )
                evaluate.move(memory.t, memory.d)
            else:
                evaluate.move(memory.t, memory.d)
                if iteration != group["max_iter"]:
                    new_loss, grad = evaluate()
                    loss, made = float(new_loss), 1
            evaluations += made
            state["func_evals"] += made
            if (
                evaluations >= group["max_eval"]
                or _largest(grad) <= group["tolerance_grad"]
                or _largest(memory.d * memory.t) <= tolerance_change
                or abs(loss - memory.prev_loss) < tolerance_change
            ):
                break
        memory.save(state)
        return first_loss


class _Objective:
    """The closure's loss and gradient as a function of all parameters in one row."""

    def __init__(self, parameters: list[Tensor], closure: Callable[[], Any]) -> None:
        self.parameters, self.closure = parameters, closure
        self.xp = namespace(parameters[0].array)

    def __call__(self) -> tuple[Any, Any]:
        with enable_grad():
            loss = self.closure()
        grads = [self.xp.zeros(p.shape, p.dtype) if p.grad is None else p.grad.array for p in self.parameters]
        return loss, self.xp.concatenate([grad.reshape(-1) for grad in grads])

    def along(self, t: Any, direction: Any) -> Trial:
        """What comes of a step of length t, which is then taken back."""
        before = [p.array.copy() for p in self.parameters]
        self.move(t, direction)
        loss, grad = self()
        for p, array in zip(self.parameters, before):
            write(p, "LBFGS.step", array)
        return Trial(t, float(loss), grad, grad.dot(direction))

    def move(self, t: Any, direction: Any) -> None:
        """p ← p + t·direction."""
        start = 0
        for p in self.parameters:
            piece = direction[start : start + p.array.size].reshape(p.shape)
            write(p, "LBFGS.step", p.array + float(t) * piece)
            start += p.array.size


class _Memory:
    """What one step leaves to the next: the last direction, and the pairs that the inverse Hessian is made of."""

    d: Any  # the direction, and how far it was followed
    t: Any
    old_dirs: list[Any]  # changes of the gradient, of the parameters, and 1 / their product
    old_stps: list[Any]
    ro: list[Any]
    H_diag: Any  # the inverse Hessian before any pair: a multiple of the identity
    prev_flat_grad: Any
    prev_loss: Any

    def __init__(self, state: dict[str, Any], history_size: int) -> None:
        self.history_size = history_size
        for name in _MEMORY:
            setattr(self, name, _unwrapped(state.get(name)))

    def save(self, state: dict[str, Any]) -> None:
        state.update({name: _wrapped(getattr(self, name)) for name in _MEMORY})

    def start(self, grad: Any) -> None:
        """Steepest descent, from an empty memory."""
        self.d, self.H_diag = -grad, 1
        self.old_dirs, self.old_stps, self.ro = [], [], []

    def turn(self, grad: Any) -> None:
        """Remember the last step, if the loss curves upwards along it, and find the next direction."""
        y, s = grad - self.prev_flat_grad, self.d * self.t
        curvature = y.dot(s)
        if curvature > 1e-10:
            if len(self.old_dirs) == self.history_size:
                for remembered in (self.old_dirs, self.old_stps, self.ro):
                    remembered.pop(0)
            self.old_dirs.append(y)
            self.old_stps.append(s)
            self.ro.append(1.0 / curvature)
            self.H_diag = curvature / y.dot(y)
        self.d = self._product(-grad)

    def _product(self, q: Any) -> Any:
        """H·q by the two loops over the pairs."""
        pairs = list(zip(self.old_dirs, self.old_stps, self.ro))
        weights = []
        for y, s, ro in reversed(pairs):
            weights.append(s.dot(q) * ro)
            q = q - weights[-1] * y
        r = q * self.H_diag
        for (y, s, ro), weight in zip(pairs, reversed(weights)):
            r = r + (weight - y.dot(r) * ro) * s
        return r


def _largest(x: Any) -> Any:
    return abs(x).max()


def _unwrapped(value: Any) -> Any:
    """A state entry's arrays, which are not changed in place, for tensors."""
    if isinstance(value, list):
        return [_unwrapped(part) for part in value]
    return value.array[()] if isinstance(value, Tensor) else value


def _wrapped(value: Any) -> Any:
    if isinstance(value, list):
        return [_wrapped(part) for part in value]
    return wrap(namespace(value).asarray(value)) if hasattr(value, "dtype") else value
