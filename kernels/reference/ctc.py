"""Connectionist temporal classification: the probability of a labelling, summed over all its alignments.

A labelling is spelled with blanks between, before and after its labels: 2 S + 1 states for S labels. At every time an
alignment stays in its state, goes on to the next, or passes over a blank between two different labels. Everything is
kept as logarithms, and all samples and states go through one time step together. A. Graves, S. Fernández, F. Gomez,
J. Schmidhuber, Connectionist Temporal Classification, ICML 2006, §4.1 (the recursions), eq. 14-16 (the gradient).

Shapes: log_probs (T, N, C); spelled (N, L) the class of each state; may_skip (N, L) whether the state can be reached
from two states before; ends (N, L) where an alignment may end; lengths (N,) how many times count.
"""

from typing import Any

import numpy as np

from .namespace import array_namespace

Array = Any


def ctc_forward(log_probs: Array, spelled: Array, may_skip: Array, ends: Array, lengths: Array) -> tuple[Array, Array]:
    """(−ln P of each sample (N,), ln α (T, N, L)): α[t, n, s] = P(all prefixes that are in state s at time t)."""
    xp = array_namespace(log_probs)
    emitted = _emitted(xp, log_probs, spelled)
    prefixes = xp.empty_like(emitted)
    now = xp.full(spelled.shape, -np.inf, log_probs.dtype)
    now[:, 0] = 0  # before the first time: from here the first blank and the first label can be reached
    for t, step in enumerate(emitted):
        now = xp.where((t < lengths)[:, None], _moved(xp, now, may_skip, 1) + step, now)
        prefixes[t] = now
    found = xp.where(ends, now, -np.inf)
    top = found.max(1)
    top = xp.where(xp.isfinite(top), top, 0)
    with np.errstate(divide="ignore"):  # ln 0 where no alignment fits
        logarithm = xp.log(xp.exp(found - top[:, None]).sum(1)) + top
    return -logarithm.astype(log_probs.dtype), prefixes


def ctc_posterior(
    log_probs: Array, prefixes: Array, losses: Array, spelled: Array, may_skip: Array, ends: Array, lengths: Array
) -> Array:
    """(T, N, C): the probability, given the labelling, that class c is emitted at time t; NaN where P = 0.

    It is −∂(−ln P)/∂ log_probs. Times from `lengths` on have probability 0 of every class.
    """
    xp = array_namespace(log_probs)
    emitted = _emitted(xp, log_probs, spelled)
    in_state = xp.empty_like(emitted)
    last = xp.where(ends, 0, -np.inf).astype(log_probs.dtype)
    suffixes = last
    reach = xp.zeros_like(may_skip)
    reach[:, :-2] = may_skip[:, 2:]  # from here two states on
    with np.errstate(invalid="ignore"):  # −∞ + ∞ where no alignment fits: NaN by definition
        for t in range(len(emitted) - 1, -1, -1):
            if t + 1 < len(emitted):
                on = _moved(xp, suffixes + emitted[t + 1], reach, -1)
                suffixes = xp.where((t < lengths - 1)[:, None], on, last)
            in_state[t] = xp.exp(prefixes[t] + suffixes + losses[:, None])
    in_state *= (xp.arange(len(emitted))[:, None] < lengths)[:, :, None]
    is_class = spelled[:, :, None] == xp.arange(log_probs.shape[2])
    by_class = xp.matmul(in_state.transpose(1, 0, 2), is_class.astype(log_probs.dtype))
    return by_class.transpose(1, 0, 2)


def _emitted(xp: Any, log_probs: Array, spelled: Array) -> Array:
    """(T, N, L): ln of the probability that each state emits at each time."""
    return xp.take_along_axis(log_probs, xp.broadcast_to(spelled, (len(log_probs), *spelled.shape)), 2)


def _moved(xp: Any, now: Array, may_skip: Array, direction: int) -> Array:
    """ln of what arrives in each state from itself, its neighbour, and over a blank where `may_skip`."""
    beside, beyond = xp.full_like(now, -np.inf), xp.full_like(now, -np.inf)
    if direction > 0:
        beside[:, 1:], beyond[:, 2:] = now[:, :-1], now[:, :-2]
    else:
        beside[:, :-1], beyond[:, :-2] = now[:, 1:], now[:, 2:]
    return xp.logaddexp(xp.logaddexp(now, beside), xp.where(may_skip, beyond, -np.inf))
