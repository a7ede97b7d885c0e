"""A sentence said backwards: a GRU reads packed rows, another writes under teacher forcing; Adamax, two rates."""

import numpy as np

PADDING, BEGIN, END, SYMBOLS = 0, 1, 2, 8


def build(T):
    nn = T.nn

    class Translator(nn.Module):
        def __init__(self):
            super().__init__()
            self.source = nn.Embedding(SYMBOLS, 6, padding_idx=PADDING)
            self.encoder = nn.GRU(6, 12, batch_first=True)
            self.target = nn.Embedding(SYMBOLS, 6, padding_idx=PADDING)
            self.decoder = nn.GRU(6, 12, batch_first=True)
            self.head = nn.Linear(12, SYMBOLS)

        def forward(self, source, lengths, target):
            packed = nn.utils.rnn.pack_padded_sequence(
                self.source(source), lengths, batch_first=True, enforce_sorted=False
            )
            _, thought = self.encoder(packed)
            states, _ = self.decoder(self.target(target), thought)
            return self.head(states)

    return Translator()


def sentences(rng, count):
    """Source rows, their lengths, what the decoder is given, and what it is to say."""
    lengths = rng.integers(2, 6, count)
    source = np.full((count, 5), PADDING)
    given, said = np.full((2, count, 6), PADDING)
    for row, n in enumerate(lengths):
        words = rng.integers(3, SYMBOLS, n)
        source[row, :n] = words
        given[row, : n + 1] = [BEGIN, *words[::-1]]
        said[row, : n + 1] = [*words[::-1], END]
    return source, lengths, given, said


def train(T, model, steps):
    data = sentences(np.random.default_rng(8), 36)
    loss_fn = T.nn.CrossEntropyLoss(ignore_index=PADDING)
    encoder = [*model.source.parameters(), *model.encoder.parameters()]
    decoder = [*model.target.parameters(), *model.decoder.parameters(), *model.head.parameters()]
    optimizer = T.optim.Adamax([{"params": encoder}, {"params": decoder, "lr": 0.02}], lr=0.01)
    for step in range(steps):
        rows = (np.arange(12) + 12 * step) % 36
        source, lengths, given, said = (T.tensor(part[rows]) for part in data)
        optimizer.zero_grad()
        loss = loss_fn(model(source, lengths, given).transpose(1, 2), said)
        loss.backward()
        T.nn.utils.clip_grad_norm_(model.parameters(), max_norm=1.0)
        optimizer.step()
        yield loss.item()
