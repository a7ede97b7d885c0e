"""The zoo: small models of every kind, each with dropout, and losses of every kind.

They are made by name: what a name stands for is the same on every rank and on every device. The tests train them in
every layout, `minipar bench --gpu` on a GPU. What they cost says nothing of models of ordinary size: for that there are
the workloads.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .. import full_like, linspace, nn
from ..nn import functional as F
from ..tensor import Tensor

WORDS, CLASSES = 48, 4  # so many words that tensor ranks share the last layer of an LSTM


class Outputs(nn.Module):
    """The outputs of a recurrent layer, without its last state: a layer that takes and returns one tensor."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x):
        return self.layer(x)[0]


class LanguageModel(nn.Module):
    """A Transformer whose first and last layer share their weight."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 12)
        self.encoder = nn.ModuleList(
            nn.TransformerEncoderLayer(12, 4, 10, 0.2, batch_first=True, norm_first=bool(i)) for i in range(2)
        )
        self.norm = nn.LayerNorm(12)
        self.head = nn.Linear(12, WORDS, bias=False)
        self.head.weight = self.embedding.weight

    def pipeline_layers(self):
        return [self.embedding, *self.encoder, self.norm, self.head]

    def forward(self, x):
        for layer in self.pipeline_layers():
            x = layer(x)
        return x


def mlp() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(6, 12), nn.Tanh(), nn.Dropout(0.3), nn.Linear(12, 12), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Linear(12, 9), nn.Tanh(), nn.Linear(9, CLASSES)),
    )


def cnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.GroupNorm(2, 4), nn.ReLU(), nn.Dropout2d(0.2), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 6, 3, padding=1), nn.Tanh(), nn.Flatten(), nn.Dropout(0.3), nn.Linear(54, 8)),
        *(nn.Tanh(), nn.Linear(8, CLASSES)),
    )


def cnn_with_batch_norm() -> nn.Module:
    return nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout(0.2)),
        *(nn.Conv2d(4, 3, 3, stride=2), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten(), nn.Linear(18, CLASSES)),
    )


def rnn() -> nn.Module:
    return nn.Sequential(
        *(nn.Linear(5, 6), nn.Tanh(), Outputs(nn.RNN(6, 7, batch_first=True)), nn.Dropout(0.3)),
        *(Outputs(nn.RNN(7, 6, batch_first=True, bidirectional=True)), nn.Linear(12, CLASSES)),
    )


def lstm() -> nn.Module:
    return nn.Sequential(
        *(nn.Embedding(WORDS, 6), Outputs(nn.LSTM(6, 7, 2, batch_first=True, dropout=0.3)), nn.LayerNorm(7)),
        *(nn.Dropout(0.2), Outputs(nn.LSTM(7, 5, batch_first=True)), nn.Linear(5, WORDS)),
    )


def gru() -> nn.Module:
    return nn.Sequential(
        *(nn.Embedding(WORDS, 6), Outputs(nn.GRU(6, 7, 2, batch_first=True, dropout=0.3)), nn.Dropout(0.2)),
        *(Outputs(nn.GRU(7, 5, batch_first=True, bidirectional=True)), nn.Linear(10, WORDS)),
    )


def autoencoder() -> nn.Module:
    """Smooth: rounding in float32, made large by Adam, would take some ReLU across its kink."""
    return nn.Sequential(
        *(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Dropout(0.2),
            nn.Conv2d(4, 6, 3, padding=1),
            nn.Tanh(),
        ),
        *(nn.ConvTranspose2d(6, 4, 4, stride=2, padding=1), nn.SiLU(), nn.Dropout2d(0.2)),
        *(nn.Conv2d(4, 1, 3, padding=1), nn.Sigmoid()),
    )


def generator(nn: Any = nn) -> Any:
    """Of minipar's `nn`, or of PyTorch's."""
    return nn.Sequential(
        *(nn.Linear(5, 12), nn.LeakyReLU(0.2), nn.Dropout(0.2), nn.Unflatten(1, (4, 3, 1))),
        *(nn.ConvTranspose2d(4, 3, 4, stride=2, padding=1), nn.Tanh(), nn.Conv2d(3, 1, 3, padding=1), nn.Sigmoid()),
    )


def discriminator(nn: Any = nn) -> Any:
    """Of minipar's `nn`, or of PyTorch's."""
    return nn.Sequential(
        *(nn.Conv2d(1, 4, 3, padding=1), nn.LeakyReLU(0.2), nn.Dropout(0.3), nn.Flatten(), nn.Linear(48, 6)),
        *(nn.Tanh(), nn.Linear(6, 1)),
    )


# -- losses, of (output, targets…) -------------------------------------------------------------------------------------


def rows_of(output: Any, labels: Any, *more: Any) -> tuple[Any, ...]:
    """Logits (…, classes) and what belongs to them, as one row a label."""
    return output.reshape(-1, output.shape[-1]), labels.reshape(-1), *(x.reshape(-1) for x in more)


def class_weight(logits: Any) -> Tensor:
    return linspace(0.3, 2.0, logits.shape[-1], dtype=logits.dtype, device=logits.device)


def mean(output, labels, mask):
    logits, labels = rows_of(output, labels)
    return F.cross_entropy(logits, labels)


def summed(output, labels, mask):
    logits, labels = rows_of(output, labels)
    return F.cross_entropy(logits, labels, reduction="sum")


def weighted(output, labels, mask):
    logits, labels = rows_of(output, labels)
    return F.cross_entropy(logits, labels, weight=class_weight(logits), label_smoothing=0.1)


def ignoring(output, labels, mask):
    logits, labels = rows_of(output, labels)
    return F.cross_entropy(logits, labels, ignore_index=2, weight=class_weight(logits))


def masked(output, labels, mask):
    logits, labels, mask = rows_of(output, labels, mask)
    return (F.cross_entropy(logits, labels, reduction="none") * mask).sum(), mask.sum()


def mean_of_pixels(output, images, mask):
    return F.mse_loss(output, images)


def sum_of_pixels(output, images, mask):
    return F.mse_loss(output, images, reduction="sum")


def weighted_pixels(output, images, mask):
    return F.binary_cross_entropy(output, images, weight=1 + mask * 2)


def masked_pixels(output, images, mask):
    return (F.smooth_l1_loss(output, images, reduction="none") * mask).sum(), mask.sum()


def mean_verdict(output, real, mask):
    return F.binary_cross_entropy_with_logits(output, real)


def sum_of_verdicts(output, real, mask):
    return F.binary_cross_entropy_with_logits(output, real, reduction="sum")


def weighted_verdict(output, real, mask):
    return F.binary_cross_entropy_with_logits(output, real, weight=1 + mask, pos_weight=full_like(real[:1], 2))


def masked_verdict(output, real, mask):
    return (F.binary_cross_entropy_with_logits(output, real, reduction="none") * mask).sum(), mask.sum()


Losses = dict[str, Callable[..., Any]]
OF_CLASSES: Losses = {
    "mean": mean,
    "sum": summed,
    "weighted": weighted,
    "ignore_index": ignoring,
    "masked": masked,
}
OF_PIXELS: Losses = {
    "mean": mean_of_pixels,
    "sum": sum_of_pixels,
    "weighted": weighted_pixels,
    "masked": masked_pixels,
}
OF_VERDICTS: Losses = {
    "mean": mean_verdict,
    "sum": sum_of_verdicts,
    "weighted": weighted_verdict,
    "masked": masked_verdict,
}


# -- the zoo -----------------------------------------------------------------------------------------------------------


class Kind(NamedTuple):
    """A model, the shapes of one sample's input and of its labels, its losses, and how fast it learns."""

    build: Callable[[], nn.Module]
    shape: tuple[int, ...]
    labels: tuple[int, ...]
    losses: Losses
    rate: float = 0.1
    words: bool = False  # is the input made of words, not of real numbers?
    images: bool = False  # can it be split by rows?
    couples_samples: bool = False  # does batch norm make one sample's output depend on the others?

    def batch(self, draw: np.random.Generator, size: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """(input, labels, mask) of `size` samples; the first label and the first place of the mask count."""
        x = draw.integers(0, WORDS, (size, *self.shape)) if self.words else draw.normal(size=(size, *self.shape))
        mask = draw.uniform(size=(size, *self.labels)) < 0.6
        labels: np.ndarray
        if self.losses is OF_CLASSES:
            labels = draw.integers(0, WORDS if self.words else CLASSES, (size, *self.labels))
            labels.reshape(-1)[0] = 1
        else:
            labels = draw.uniform(size=(size, *self.labels))
        mask.reshape(-1)[0] = True
        return x, labels, mask.astype(float)


ZOO = {
    "MLP": Kind(mlp, (6,), (), OF_CLASSES),
    "CNN": Kind(cnn, (2, 7, 6), (), OF_CLASSES, images=True),
    "CNN with batch norm": Kind(cnn_with_batch_norm, (2, 7, 6), (), OF_CLASSES, images=True, couples_samples=True),
    "RNN": Kind(rnn, (4, 5), (4,), OF_CLASSES),
    "LSTM": Kind(lstm, (4,), (4,), OF_CLASSES, words=True),
    "Transformer": Kind(LanguageModel, (4,), (4,), OF_CLASSES, words=True, rate=0.03),
    "autoencoder": Kind(autoencoder, (1, 8, 6), (1, 8, 6), OF_PIXELS, images=True),
    "GAN": Kind(generator, (5,), (1,), OF_VERDICTS),
}
GRU = ZOO["LSTM"]._replace(build=gru)  # not in the zoo: to whoever splits a model it is one more LSTM
