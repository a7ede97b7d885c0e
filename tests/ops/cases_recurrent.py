"""Rows of the table: the recurrent networks' nodes, and embeddings."""

from __future__ import annotations

from minipar.ops.gru import gru
from minipar.ops.lstm import lstm
from minipar.ops.rnn import rnn
from tests.ops.case import Case, among

RAGGED = [2, 2, 1]  # sequences of 3 and 2 steps


def node(function, states, walk, *, biased=True, projected=False, leading=False, which=0, **options):
    """One output of the node on rows of shape (sum(walk), I). `leading`: states go in and come out as (1, B, H)."""

    def run(m, x, *rest):
        inputs = [s[None] for s in rest[:states]] + list(rest[states:]) if leading else list(rest)
        projection = [inputs.pop() if projected else None] if states == 2 else []
        if not biased:
            inputs += [None, None]
        found = function(x, *inputs, *projection, walk, **options)[which]
        return found[0] if leading and which else found

    return run


def theirs(name, states, walk, *, biased=True, reverse=False, which=0):
    """The same by PyTorch: its packed form, with a left-to-right layer alone, or the backward one of a pair."""

    def run(m, x, *rest):
        first, weights = rest[:states], list(rest[states:])
        hx = [state[None] for state in first]
        if reverse:
            hx = [m.cat([state, state]) for state in hx]
            weights = weights * 2
        flags = (biased, 1, 0.0, False, reverse)
        outputs = getattr(m, name)(x, m.tensor(walk), hx if states == 2 else hx[0], weights, *flags)
        if which == 0:
            hidden = first[0].shape[1]
            return outputs[0][:, hidden:] if reverse else outputs[0]
        return outputs[which][-1]

    return run


def shapes(gates, states, walk, features=2, hidden=2, biased=True, out=None):
    out = out or hidden
    rows = gates * hidden
    state = [(walk[0], out), (walk[0], hidden)][:states]
    weights = [(rows, features), (rows, out), *([(rows,), (rows,)] if biased else [])]
    return ((sum(walk), features), *state, *weights, *([(out, hidden)] if out != hidden else []))


RECURRENT = []
for name, function, spelled, gates, states in (
    ("rnn", rnn, "rnn_tanh", 1, 1),
    ("lstm", lstm, "lstm", 4, 2),
    ("gru", gru, "gru", 3, 1),
):
    for kind, walk, options in (
        (" ragged", RAGGED, {}),
        (" ragged backwards", RAGGED, {"reverse": True}),
        (" last state backwards", [2, 1], {"which": 1, "reverse": True}),
        (" without bias", [2], {"biased": False}),
    ):
        biased = options.get("biased", True)
        others = shapes(gates, states, walk, 3, 4, biased), shapes(gates, states, walk, 1, 1, biased)
        RECURRENT.append(
            Case(f"{name}{kind}", node(function, states, walk, **options), shapes(gates, states, walk, biased=biased),
                 among(*others), theirs=theirs(spelled, states, walk, **options))
        )  # fmt: skip
    RECURRENT += [
        Case(f"{name} states with a leading axis{'' if which else ', all steps'}",
             node(function, states, RAGGED, leading=True, which=which), shapes(gates, states, RAGGED),
             theirs=theirs(spelled, states, RAGGED, which=which))
        for which in (0, 1)
    ]  # fmt: skip
RECURRENT += [
    Case("rnn relu", node(rnn, 1, RAGGED, nonlinearity="relu"), shapes(1, 1, RAGGED),
         theirs=theirs("rnn_relu", 1, RAGGED)),
    Case("lstm last cell", node(lstm, 2, [2, 1], which=2), shapes(4, 2, [2, 1]),
         theirs=theirs("lstm", 2, [2, 1], which=2)),
    Case("lstm projected", node(lstm, 2, [2, 1], projected=True), shapes(4, 2, [2, 1], hidden=2, out=1),
         theirs=theirs("lstm", 2, [2, 1])),
    Case("lstm projected, without bias", node(lstm, 2, [2, 1], projected=True, biased=False, reverse=True),
         shapes(4, 2, [2, 1], hidden=2, out=1, biased=False),
         theirs=theirs("lstm", 2, [2, 1], biased=False, reverse=True)),
]  # fmt: skip
