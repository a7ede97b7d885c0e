"""Rows of the table: CTC, the Gumbel-softmax, sets of labels."""

from __future__ import annotations

import numpy as np

from tests.ops.case import Case, apart
from tests.ops.cases_loss import loss

HOW = ("mean", "sum", "none")
LABELS = np.array([[1, 1, 2], [2, 0, 1]])  # a repeated label; the second sample's are cut short
SETS = np.array([[1, -1, 0, 2], [3, 0, -1, -1], [-1, 0, 1, 2]])


def ctc(targets, heard=(6, 5), spoken=(3, 1), **options):
    """The loss of logits: of log-probabilities PyTorch's gradient is not the derivative."""
    return lambda m, x: m.nn.functional.ctc_loss(x.log_softmax(-1), m.tensor(targets), heard, spoken, **options)


SEQUENCES = [
    *[Case(f"ctc_loss {how}", ctc(LABELS, blank=3, reduction=how), ((6, 2, 4),)) for how in HOW],
    Case("ctc_loss concatenated", ctc([1, 1, 2, 2], reduction="sum"), ((6, 2, 3),)),
    Case("ctc_loss none left", ctc(LABELS, spoken=(2, 0), blank=3), ((6, 2, 4),)),
    Case("ctc_loss zero_infinity", ctc(LABELS, (3, 5), blank=3, zero_infinity=True), ((6, 2, 4),)),
    Case("ctc_loss one sample", ctc(LABELS[0], 6, 3, blank=0), ((6, 3),),
         theirs=lambda m, x: ctc(LABELS[0], (6,), (3,), blank=0)(m, x)),
    Case("ctc_loss of log-probabilities",
         lambda m, x: m.nn.functional.ctc_loss(x, m.tensor(LABELS), (6, 5), (3, 1), blank=3), ((6, 2, 4),),
         derivative=False),
]  # fmt: skip

SEVERAL = [
    *[
        Case(f"multilabel_margin_loss {how}", loss("multilabel_margin_loss", SETS, reduction=how), ((3, 4),),
             values=apart)
        for how in HOW
    ],
    Case("multilabel_margin_loss one", loss("multilabel_margin_loss", SETS[0]), ((4,),), values=apart),
]  # fmt: skip

STRAGGLERS = SEQUENCES + SEVERAL
