"""`minipar.compile`: one training step is recorded, and from then on replayed without Python's part of the work.

compiled.py    what `compile` returns: which recording serves a call, or that one must be made
arguments.py   the tensors among the arguments and the results
recorder.py    what happens while a step is recorded
program.py     the list of what a replay does
patches.py     how the recorder gets to see it: hooks that stand in their places only while it listens
traced.py      arrays that tell what is computed with them
raw.py         which operations are nothing but calls of compiled kernels
guards.py      what must still be so for a recording to serve
replay.py      a recording as one straight-line Python function
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def compile(step: Callable[..., Any]) -> Any:
    """Record a training step once and replay it: the same calls on the same memory, without the tape. Also a decorator.

    `step` is a function of tensors (and numbers, strings, tuples, lists and dicts of such) that does everything:
    zero_grad, forward, loss, backward, the optimizer's step. It returns tensors, which come back detached. It is
    recorded again where another shape, dtype or plain argument comes, a module is switched to eval, or a parameter's
    memory is replaced. Results are those of the step itself, to the bit.

    Python in the step runs only while it is recorded. So RuntimeError where it looks at a tensor's numbers (`item`,
    `if loss > 1`, `tolist`, an index by a mask) or keeps a tensor for later, and NotImplementedError for arguments that
    require grad, tensors on a GPU, and a Module with gradients: compile the whole step. A recorded step that replaces
    numbers outside of tensors (a counter, a list) does so only while it is recorded.

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
    if not callable(step):
        raise TypeError(f"compile takes a function (or a Module), not {type(step).__name__}")
    from .compiled import CompiledStep  # which an eager user never needs

    return CompiledStep(step)
