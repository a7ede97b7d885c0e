"""Models for tensor parallelism, and a training run that every rank makes of them, split or whole."""

from __future__ import annotations

import numpy as np

import minipar
from minipar import nn, optim, parallel
from minipar.nn import functional as F
from minipar.parallel.parts import part_of

WIDTH, HEADS = 12, 4


class LanguageModel(nn.Module):
    """Embedding, encoder and head, of which the first and the last share their weight."""

    def __init__(self, tied: bool = True, vocabulary: int = 11) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, WIDTH, padding_idx=5)
        layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 10, 0.2, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(WIDTH, vocabulary, bias=not tied)
        if tied:
            self.head.weight = self.embedding.weight

    def forward(self, tokens):
        mask = nn.Transformer.generate_square_subsequent_mask(tokens.shape[1], dtype=self.embedding.weight.dtype)
        return self.head(self.encoder(self.embedding(tokens), mask=mask))


class Reader(nn.Module):
    """A recurrent model, whose recurrent part stays whole."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(11, 5, scale_grad_by_freq=True, max_norm=1.5)
        self.rnn = nn.LSTM(5, 6, batch_first=True, num_layers=2, dropout=0.3)
        self.head = nn.Linear(6, 5)

    def forward(self, tokens):
        return self.head(self.rnn(self.embedding(tokens))[0])


class Translator(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.transformer = nn.Transformer(WIDTH, HEADS, 1, 2, 9, dropout=0.1, norm_first=True)

    def forward(self, x):
        mask = nn.Transformer.generate_square_subsequent_mask(3, dtype=x.dtype)
        return self.transformer(x, x[:3] * 2, tgt_mask=mask)


class Looker(nn.Module):
    """Attention in all its forms: other keys and values, masks of every head, appended keys, weights that are used."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.MultiheadAttention(8, 4, dropout=0.3, add_bias_kv=True, kdim=6, vdim=5, batch_first=True)
        self.second = nn.MultiheadAttention(8, 4, dropout=0.2, add_zero_attn=True, bias=False)
        self.added = nn.Parameter(minipar.randn(4, 4))

    def forward(self, x):
        y, weights = self.first(x, x[..., :6].tanh(), x[..., 1:6], average_attn_weights=False)
        mask = minipar.arange(len(y) * 4 * 16).reshape(-1, 4, 4) % 5 == 1
        z, average = self.second(y.transpose(0, 1), x.transpose(0, 1), x.transpose(0, 1), attn_mask=mask)
        own, _ = self.second(y[0], y[0], y[0], need_weights=False, attn_mask=self.added)
        return z.mean() + (weights**2).mean() + (average**2).mean() + own


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(5, 7), nn.Tanh(), nn.Dropout(0.3)),
        nn.Sequential(nn.Linear(7, 6), nn.ReLU(inplace=True)),
        *(nn.Linear(6, 9, bias=False), nn.BatchNorm1d(9), nn.GELU(), nn.Linear(9, 8), nn.LayerNorm(8), nn.Linear(8, 5)),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.Dropout2d(0.2), nn.MaxPool2d(2)),
        *(nn.Conv2d(6, 5, 3, padding="same", padding_mode="circular"), nn.InstanceNorm2d(5, affine=True), nn.ReLU()),
        *(nn.Flatten(), nn.Linear(45, 4)),
    )


def grouped_cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 8, 3, bias=False), nn.GroupNorm(4, 8), nn.GELU(), nn.AdaptiveAvgPool2d(2), nn.Flatten()),
        *(nn.Dropout(0.3), nn.Linear(32, 4)),
    )


def signal() -> nn.Module:
    return nn.Sequential(nn.Conv1d(2, 5, 3), nn.ReLU(), nn.Softmax(1), nn.Conv1d(5, 4, 2, groups=1), nn.SiLU())


def volume() -> nn.Module:
    return nn.Sequential(nn.Conv3d(1, 4, 2), nn.ELU(), nn.Dropout3d(0.2), nn.Conv3d(4, 3, 2))


def encoder(**options) -> nn.Module:
    return nn.TransformerEncoderLayer(WIDTH, HEADS, 10, 0.2, **options)


MODELS = {  # name: (model, shape of a batch of 4)
    "mlp": (mlp, (4, 5)),
    "cnn": (cnn, (4, 2, 6, 6)),
    "grouped cnn": (grouped_cnn, (4, 2, 6, 6)),
    "signal": (signal, (4, 2, 9)),
    "volume": (volume, (4, 1, 4, 4, 5)),
    "linear alone": (lambda: nn.Linear(5, 7), (4, 5)),
    "encoder": (lambda: nn.TransformerEncoder(encoder(), 2), (5, 4, WIDTH)),
    "encoder, norm first": (
        lambda: encoder(batch_first=True, norm_first=True, activation="gelu"),
        (4, 5, 12),
    ),
    "translator": (Translator, (5, 4, WIDTH)),
    "language model": (LanguageModel, (4, 5)),
    "reader": (Reader, (4, 5)),
    "looker": (Looker, (4, 4, 8)),
}
TOKENS = ("language model", "reader")


def subgroup(comm):
    """Ranks 1 … of `comm`, the last as number 0; rank 0 is alone, and so trains the unsplit model."""
    return comm.split(int(comm.rank > 0), key=-comm.rank)


def gathered(comm, named, what):
    """Name → the whole array: the parts of all ranks put together."""
    whole = {}
    for name, p in named:
        array = what(p)
        part = part_of(p)
        if part is not None:
            pieces = comm.all_gather_object((part, array))
            array = np.full(part.whole_shape(array.shape), np.nan, array.dtype)
            for other, piece in pieces:
                other.put(piece, array)
        whole[name] = array.copy()
    return whole


def train(comm, name: str, dtype: str, sequence: bool = False, steps: int = 20):
    """(outputs and losses, gradient of the input, start, gradients of step 1, parameters and buffers at the end)"""
    group = subgroup(comm)
    kind = getattr(minipar, dtype)
    build, shape = MODELS[name]
    minipar.manual_seed(3)
    net = build().to(kind)
    start = {k: p.array.copy() for k, p in net.named_parameters()}
    net = parallel.tensor_parallel(net, group, sequence, narrow=1)
    step = optim.SGD(net.parameters(), lr=0.02, momentum=0.9)
    seen, of_input, first = [], None, {}
    for i in range(steps):
        if name in TOKENS:
            x = minipar.randint(11, shape)
        else:
            x = minipar.randn(*shape, dtype=kind).requires_grad_()
        step.zero_grad()
        y = net(x)
        loss = F.mse_loss(y, minipar.randn(*y.shape, dtype=kind))
        loss.backward()
        seen += [y.detach().numpy(), loss.item()]
        if not i:
            of_input = None if x.grad is None else x.grad.numpy()
            first = gathered(group, net.named_parameters(), lambda p: p.grad.array)
        step.step()
    end = gathered(group, net.named_parameters(), lambda p: p.array)
    buffers = gathered(group, net.named_buffers(), lambda b: b.array)
    return seen, of_input, start, first, end, buffers, minipar.backend.random.default_generator().get_state()
