"""Walks that the recurrent kernels are tested on, and PyTorch's answer to them."""

import hypothesis.strategies as st
import numpy as np
from kernel_layouts import laid_out, layouts, seeds

walks = st.sampled_from([[1], [3, 3, 3], [3, 2, 2, 1], [4, 1], [2, 2, 1, 1, 1]])
reverses = st.booleans()
__all__ = ["draw", "laid_out", "layouts", "reverses", "seeds", "torch_answer", "walks"]


def draw(seed, *shapes, layout="contiguous"):
    rng = np.random.default_rng(seed)
    return [laid_out(rng.normal(size=shape), layout) for shape in shapes]


def torch_answer(name, x, states, weights, walk, reverse, upstream):
    """(outputs, gradients of x, states, weights) of one direction, by PyTorch on a packed sequence, in float64."""
    import torch

    leaves = [torch.tensor(np.array(a), requires_grad=True) for a in (x, *states, *weights)]
    tx, hx, tw = leaves[0], leaves[1 : 1 + len(states)], leaves[1 + len(states) :]
    both = [torch.cat([h[None], h[None]]) if reverse else h[None] for h in hx]
    flags = (len(weights) > 2, 1, 0.0, False, reverse)
    packed = torch.tensor(walk)
    out, *last = getattr(torch, name)(tx, packed, both if len(both) == 2 else both[0], tw * (1 + reverse), *flags)
    outputs = [out[:, out.shape[1] // 2 :] if reverse else out, *[state[-1] for state in last]]
    gradients = torch.autograd.grad(outputs, leaves, [torch.tensor(np.array(g)) for g in upstream])
    return [y.detach().numpy() for y in outputs], [g.numpy() for g in gradients]
