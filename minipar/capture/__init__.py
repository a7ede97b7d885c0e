"""`minipar.compile`: one training step is recorded, and from then on replayed without Python's part of the work.

compiled.py    which recording serves a call, or that one must be made
arguments.py   the tensors among the arguments and the results
recorder.py    what happens while a step is recorded: its operations and their gradients
tensors.py     …, its tensors and their gradients
between.py     …, what NumPy computes between the operations
memory.py      …, and the memory that all of it works on
patches.py     how the recorder gets to see it: hooks that stand in their places only while it listens
traced.py      arrays that tell what is computed with them
program.py     the list of what a replay does
raw.py         which operations are nothing but calls of compiled kernels
fusion.py      neighbours as one operation: a layer and the ReLU after it, a pooling after these
guards.py      what must still be so for a recording to serve
placement.py   where results lie, so that a replay stays in the cache
replay.py      a recording as one straight-line Python function
source.py      Python source that is being written
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any


def compile(
    model: Callable[..., Any] | None = None,
    *,
    fullgraph: bool = False,
    dynamic: bool | None = None,
    backend: str = "replay",
    mode: None = None,
    options: None = None,
    disable: bool = False,
) -> Any:
    """Record a training step once and replay it: the same calls on the same memory, without the tape. Also a decorator.

    `model` is a function of tensors (and numbers, strings, tuples, lists and dicts of such) that does a whole step:
    zero_grad, forward, loss, backward, the optimizer's step. It returns tensors, which come back detached. The first
    call of a kind runs as it is, the second is recorded, the others are replayed. It is recorded again where another
    shape, dtype or plain argument comes, a module is switched to eval, or a parameter's memory is replaced. Results are
    those of the step itself, to the bit, but where a layer and the ReLU after it are fused (float32: about 1e-6).

    Python in the step runs only while it is recorded: what it changes outside of tensors, replays do not. RuntimeError
    where it looks at a tensor's numbers (`item`, `if loss > 1`, `tolist`, an index by a mask) or keeps a tensor for
    later. NotImplementedError for arguments that require grad, tensors on a GPU, a Module while gradients are recorded
    (compile the whole step), `dynamic=True`, and any backend, mode and options. `fullgraph` is always so: nothing falls
    back in parts. With `disable` the function itself is returned.

    >>> model = nn.Linear(3, 1)
    >>> optimizer = optim.SGD(model.parameters(), lr=0.1)
    >>> @minipar.compile
    ... def step(x, y):
    ...     optimizer.zero_grad()
    ...     loss = F.mse_loss(model(x), y)
    ...     loss.backward()
    ...     optimizer.step()
    ...     return loss
    >>> x, y = minipar.ones(8, 3), minipar.zeros(8, 1)
    >>> losses = [step(x, y).item() for _ in range(5)]
    >>> losses == sorted(losses, reverse=True)
    True
    """
    refused = {"dynamic": dynamic, "mode": mode, "options": options, "backend": backend != "replay" and backend}
    for argument, given in refused.items():
        if given:
            raise NotImplementedError(f"compile: {argument}={given!r} is not supported")
    if model is None:
        return partial(compile, fullgraph=fullgraph, disable=disable)
    if not callable(model):
        raise TypeError(f"compile takes a function (or a Module), not {type(model).__name__}")
    if disable:
        return model
    from .compiled import CompiledStep  # which an eager user never needs

    return CompiledStep(model)
