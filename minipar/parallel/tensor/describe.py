"""What of a model is split, for people."""

from __future__ import annotations

from ...nn.module import Module
from ..parts import part_of
from .cut import Split


def describe_split(model: Module) -> str:
    """What `tensor_parallel` did to `model`: a line a layer, with this rank's part and the collectives that it costs.

    The last line adds up a step: how many calls forward makes, and backward, where no call is spared because the
    model's input has no gradient.

    >>> def shown(comm):
    ...     net = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.LayerNorm(6))
    ...     return minipar.parallel.describe_split(minipar.parallel.tensor_parallel(net, comm, narrow=1))
    >>> print(minipar.parallel.launch(shown, workers=2, backend="thread")[0])
    0  ColumnParallelLinear: output features 0…2 of 6, 1 collective forward, 1 backward
    2  LayerNorm: whole
    a step: 1 collective forward, 1 backward
    """
    if not isinstance(model, Module):
        raise TypeError(f"describe_split: model must be a Module, not {type(model).__name__}")
    lines, total = [], [0, 0]
    for path, module in model.named_modules():
        if isinstance(module, Split):
            calls = module.collectives()
            total = [total[0] + calls[0], total[1] + calls[1]]
            lines.append((path, f"{type(module).__name__}: {module.part_shown()}, {_calls(*calls)}"))
        elif any(p is not None for p in module._parameters.values()):
            cut = any(p is not None and part_of(p) for p in module._parameters.values())
            lines.append((path, f"{type(module).__name__}: {'the same channels' if cut else 'whole'}"))
    wide = max((len(path) for path, _ in lines), default=0)
    return "\n".join([f"{path:<{wide}}  {text}" for path, text in lines] + [f"a step: {_calls(*total)}"])


def _calls(forward: int, backward: int) -> str:
    return f"{forward} collective{'' if forward == 1 else 's'} forward, {backward} backward"
