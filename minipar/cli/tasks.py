"""What `minipar train` can train: for each data set a model, a loss and a metric that suit it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from .. import nn, optim
from ..data import Table, load
from ..nn import functional as F
from ..tensor import Tensor


@dataclass(frozen=True)
class Examples:
    """Inputs and targets, ready for the model: training part and test part."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray


@dataclass(frozen=True)
class Task:
    """One line of `minipar train --help`.

    `totals(output, target)` gives what the metric needs as sums over samples, so that workers can add theirs up;
    `metric` makes the number shown of those sums.
    """

    summary: str
    prepare: Callable[[np.dtype], Examples]
    model: Callable[[], nn.Module]
    loss: Callable[[Tensor, Tensor], Tensor]
    metric_name: str
    totals: Callable[[Tensor, Tensor], np.ndarray]
    metric: Callable[[np.ndarray], float]
    optimizer: Callable[..., optim.Optimizer]
    epochs: int
    batch_size: int
    lr: float
    unit: str


# ── metrics as sums over samples ──────────────────────────────────────────────────────────────────────────────────────


def hits(output: Tensor, target: Tensor) -> np.ndarray:
    """[correct, all]; logits (N, C, …), class numbers (N, …)."""
    correct = output.argmax(1).array == target.array
    return np.array([correct.sum(), correct.size], np.float64)


def accuracy(totals: np.ndarray) -> float:
    return float(totals[0] / totals[1])


def squares(output: Tensor, target: Tensor) -> np.ndarray:
    """[Σ error², Σ target, Σ target², count]"""
    y, t = output.array.astype(np.float64), target.array.astype(np.float64)
    return np.array([((y - t) ** 2).sum(), t.sum(), (t * t).sum(), t.size])


def r_squared(totals: np.ndarray) -> float:
    """1 − Σ error² / Σ (target − mean)²"""
    error, total, total_squares, count = totals
    return float(1.0 - error / (total_squares - total * total / count))


# ── the five tasks ────────────────────────────────────────────────────────────────────────────────────────────────────


def _images(name: str) -> Callable[[np.dtype], Examples]:
    def prepare(dtype: np.dtype) -> Examples:
        table = load(name)
        assert isinstance(table, Table)
        return Examples(table.x_train.astype(dtype), table.y_train, table.x_test.astype(dtype), table.y_test)

    return prepare


def _cnn() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 5, padding=2),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 10),
    )


def _digits_mlp() -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))


def _standardised(train: np.ndarray, test: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Columns of mean 0 and variance 1 on the training part, in float64 (a longitude varies in its fourth digit)."""
    train, test = train.astype(np.float64), test.astype(np.float64)
    mean, spread = train.mean(0), train.std(0)
    spread = np.where(spread > 0, spread, 1.0)
    return (train - mean) / spread, (test - mean) / spread


def _houses(dtype: np.dtype) -> Examples:
    """Standardised measurements, and the standardised logarithm of the price: errors in percent, not in dollars."""
    table = load("ames")
    x_train, x_test = _standardised(table.x_train, table.x_test)
    prices = [np.log10(y.astype(np.float64))[:, None] for y in (table.y_train, table.y_test)]
    y_train, y_test = _standardised(*prices)
    return Examples(*(a.astype(dtype) for a in (x_train, y_train, x_test, y_test)))


def _houses_mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(33, 32), nn.ReLU(), nn.Linear(32, 1))


class States(nn.RNN):
    """An Elman network's states after each input, without the last state that nn.RNN returns beside them."""

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(x)[0]


class Last(nn.Module):
    """What there is after the last input, of (N, T, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x[:, -1]


def _forecaster(hidden: int = 24) -> nn.Module:
    """An Elman network reads values one by one; a linear layer says the next from its last state."""
    layers = {"rnn": States(1, hidden, batch_first=True), "last": Last(), "next": nn.Linear(hidden, 1)}
    return nn.Sequential(OrderedDict(layers))


def _sunspots(dtype: np.dtype, window: int = 22, test_years: int = 60) -> Examples:
    """Windows of 22 years (two solar cycles) and the year after; the last 60 years are for the test."""
    series = load("sunspots")
    values = np.sqrt(series.values.astype(np.float64))  # a count: its noise grows with its size
    split = len(values) - test_years
    scaled = (values - values[:split].mean()) / values[:split].std()
    starts = np.arange(len(values) - window)
    x = scaled[starts[:, None] + np.arange(window)][..., None].astype(dtype)
    y = scaled[starts + window][:, None].astype(dtype)
    train = starts + window < split
    return Examples(x[train], y[train], x[~train], y[~train])


class SymbolsFirst(nn.Module):
    """(N, T, symbols) as (N, symbols, T), as F.cross_entropy wants its classes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.transpose(1, 2)


def _character_model(symbols: int = 27, width: int = 16, hidden: int = 64) -> nn.Module:
    """Predicts each next character of a name from those before it: logits (N, symbols, T)."""
    layers = {
        "embedding": nn.Embedding(symbols, width),
        "rnn": States(width, hidden, batch_first=True),
        "next": nn.Linear(hidden, symbols),
        "classes": SymbolsFirst(),
    }
    return nn.Sequential(OrderedDict(layers))


IGNORED = -100  # a target that does not count: what follows the end of a name


def _names(dtype: np.dtype) -> Examples:
    """Each name between end marks, as rows of symbol numbers; every fifth name is for the test."""
    text = load("names")
    number = {symbol: i for i, symbol in enumerate(text.alphabet)}  # "\n", the end mark, is 0
    longest = max(map(len, text.lines))
    x = np.zeros((len(text.lines), longest + 1), np.int64)
    y = np.full((len(text.lines), longest + 1), IGNORED, np.int64)
    for row, name in enumerate(text.lines):
        symbols = [number[symbol] for symbol in name]
        x[row, 1 : len(name) + 1] = symbols
        y[row, : len(name) + 1] = [*symbols, 0]
    test = np.arange(len(x)) % 5 == 4
    return Examples(x[~test], y[~test], x[test], y[test])


def _character_loss(output: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(output, target, ignore_index=IGNORED)


def _character_hits(output: Tensor, target: Tensor) -> np.ndarray:
    counted = target.array != IGNORED
    return np.array([((output.argmax(1).array == target.array) & counted).sum(), counted.sum()], np.float64)


TASKS = {
    "fashion_mnist": Task(
        summary="a small CNN on 2,000 real images of clothes (28×28, 10 classes)",
        prepare=_images("fashion_mnist"),
        model=_cnn,
        loss=F.cross_entropy,
        metric_name="test accuracy",
        totals=hits,
        metric=accuracy,
        optimizer=optim.Adam,
        epochs=20,
        batch_size=64,
        lr=1e-3,
        unit="images",
    ),
    "digits": Task(
        summary="an MLP classifier of handwritten digits (8×8, 10 classes)",
        prepare=_images("digits"),
        model=_digits_mlp,
        loss=F.cross_entropy,
        metric_name="test accuracy",
        totals=hits,
        metric=accuracy,
        optimizer=lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
        epochs=30,
        batch_size=64,
        lr=0.1,
        unit="images",
    ),
    "ames": Task(
        summary="an MLP regressor of house prices (33 standardised features)",
        prepare=_houses,
        model=_houses_mlp,
        loss=F.mse_loss,
        metric_name="test R²",
        totals=squares,
        metric=r_squared,
        optimizer=lambda parameters, lr: optim.SGD(parameters, lr=lr, momentum=0.9),
        epochs=30,
        batch_size=64,
        lr=0.01,
        unit="houses",
    ),
    "sunspots": Task(
        summary="an Elman RNN that forecasts next year's sunspots from 22 years",
        prepare=_sunspots,
        model=_forecaster,
        loss=F.mse_loss,
        metric_name="test R²",
        totals=squares,
        metric=r_squared,
        optimizer=optim.Adam,
        epochs=120,
        batch_size=32,
        lr=3e-3,
        unit="windows",
    ),
    "names": Task(
        summary="a character RNN that learns to spell first names",
        prepare=_names,
        model=_character_model,
        loss=_character_loss,
        metric_name="next-letter accuracy",
        totals=_character_hits,
        metric=accuracy,
        optimizer=optim.Adam,
        epochs=12,
        batch_size=64,
        lr=3e-3,
        unit="names",
    ),
}
