"""Models of two halves, and what the formulas say of each half: what tensor ranks send, and what a rank holds.

(Processes import this module, so it does without pytest.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

from minipar import nn
from minipar.parallel.shares import shares

NUMBER = 8  # bytes: all is in float64
WIDTH, OUTPUTS = 12, 49  # so many outputs that a layer alone is split, over 2 and over 3 ranks, and never evenly
ROWS, COLUMNS = 8, 5  # of images
POSITIONS, WORDS, HEADS, HIDDEN = 4, 48, 4, 10  # of a Transformer


class Half(NamedTuple):
    """The numbers that it has (not the bytes).

    `sent(n, t)`: in the calls that t tensor ranks make for n samples, forward and backward. `held(t, r)`: in the
    parameters of tensor rank r of t. `parameters`: how many of these there are.
    """

    sent: Callable[[int, int], Counter[str]]
    held: Callable[[int, int], int]
    parameters: int


class Kind(NamedTuple):
    """A model; the shape of a sample, and of how many words it is made (0: of real numbers); its halves.

    The second begins with layer `middle`; `between` are the numbers of a sample that go on to it.
    """

    build: Callable[[], nn.Module]
    sample: tuple[int, ...]
    words: int
    halves: tuple[Half, Half]
    middle: int
    between: int


def largest(features: int, ranks: int) -> int:
    """What is gathered are equal parts: as large as the largest."""
    return max(shares(features, ranks))


# -- a pair of linear layers; a linear layer alone, whose outputs are gathered -----------------------------------------


def mlp() -> nn.Module:
    first = [nn.Linear(WIDTH, HIDDEN), nn.Tanh(), nn.Linear(HIDDEN, WIDTH), nn.Tanh()]
    return nn.Sequential(*first, nn.Linear(WIDTH, OUTPUTS)).double()


def pair_of_linears(t: int, r: int) -> int:
    hidden = shares(HIDDEN, t)[r]
    return hidden * (WIDTH + 1) + WIDTH * (hidden + 1)


MLP = Kind(
    mlp,
    (WIDTH,),
    0,
    (
        Half(lambda n, t: Counter(all_reduce=n * WIDTH), pair_of_linears, 4),
        Half(
            lambda n, t: Counter(all_gather=n * largest(OUTPUTS, t), all_reduce=n * WIDTH),
            lambda t, r: shares(OUTPUTS, t)[r] * (WIDTH + 1),
            2,
        ),
    ),
    middle=4,
    between=WIDTH,
)

# -- a pair of convolutions; a convolution and a linear layer ----------------------------------------------------------

CHANNELS, IMAGE = (3, 6, 4, 6, 5), ROWS * COLUMNS


def channels() -> nn.Module:
    c = CHANNELS
    pair = nn.Conv2d(c[0], c[1], 3, padding=1), nn.GroupNorm(3, c[1]), nn.ReLU(), nn.Conv2d(c[1], c[2], 3, padding=1)
    head = nn.Conv2d(c[2], c[3], 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(c[3] * IMAGE, c[4])
    return nn.Sequential(*pair, nn.Tanh(), *head).double()


def pair_of_convolutions(t: int, r: int) -> int:
    own = CHANNELS[1] // 3 * shares(3, t)[r]  # whole groups
    return own * (9 * CHANNELS[0] + 1) + 2 * own + CHANNELS[2] * (9 * own + 1)


def convolution_and_head(t: int, r: int) -> int:
    own = shares(CHANNELS[3], t)[r]
    return own * (9 * CHANNELS[2] + 1) + CHANNELS[4] * (own * IMAGE + 1)


CNN = Kind(
    channels,
    (CHANNELS[0], ROWS, COLUMNS),
    0,
    (
        Half(lambda n, t: Counter(all_reduce=n * CHANNELS[2] * IMAGE), pair_of_convolutions, 6),
        Half(lambda n, t: Counter(all_reduce=n * (CHANNELS[2] * IMAGE + CHANNELS[4])), convolution_and_head, 4),
    ),
    middle=5,
    between=CHANNELS[2] * IMAGE,
)

# -- a table of words and attention; attention and a head --------------------------------------------------------------

SEQUENCE = POSITIONS * WIDTH


def transformer() -> nn.Module:
    encoder = [
        nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, 0.2, batch_first=True, norm_first=bool(i)) for i in range(2)
    ]
    return nn.Sequential(nn.Embedding(WORDS, WIDTH), *encoder, nn.Linear(WIDTH, OUTPUTS)).double()


def encoder_layer(t: int, r: int) -> int:
    own = shares(HEADS, t)[r] * WIDTH // HEADS
    attention = 3 * own * (WIDTH + 1) + WIDTH * (own + 1)
    return attention + pair_of_linears(t, r) + 4 * WIDTH


TRANSFORMER = Kind(
    transformer,
    (POSITIONS,),
    WORDS,
    (
        # Words, attention and the pair of linears add up forward; attention and the pair backward.
        Half(
            lambda n, t: Counter(all_reduce=n * SEQUENCE * (3 + 2)),
            lambda t, r: shares(WORDS, t)[r] * WIDTH + encoder_layer(t, r),
            13,
        ),
        # The head's outputs are gathered, and what goes back from it is added up.
        Half(
            lambda n, t: Counter(all_gather=n * POSITIONS * largest(OUTPUTS, t), all_reduce=n * SEQUENCE * (2 + 2 + 1)),
            lambda t, r: encoder_layer(t, r) + shares(OUTPUTS, t)[r] * (WIDTH + 1),
            14,
        ),
    ),
    middle=2,
    between=SEQUENCE,
)

KINDS = {"MLP": MLP, "CNN": CNN, "Transformer": TRANSFORMER}
