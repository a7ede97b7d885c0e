"""Rows of the table: recurrent layers, packed sequences, embeddings."""

from __future__ import annotations

from tests.refusals.refusal import Refusal

X = (4, 2, 3)  # steps, batch, features


def pack(m, lengths, **options):
    return m.nn.utils.rnn.pack_padded_sequence(m.ones(*X), lengths, **options)


RECURRENT = [
    row
    for kind in ("RNN", "LSTM", "GRU")
    for row in (
        Refusal(f"nn.{kind}", "rank", lambda m, k=kind: getattr(m.nn, k)(3, 2)(m.ones(3)), ValueError,
                ("input", "2 or 3", r"\(3,\)")),
        Refusal(f"nn.{kind}", "features", lambda m, k=kind: getattr(m.nn, k)(3, 2)(m.ones(4, 2, 5)), RuntimeError,
                ("input", "3", r"\(4, 2, 5\)")),
        Refusal(f"nn.{kind}", "dtype", lambda m, k=kind: getattr(m.nn, k)(3, 2)(m.ones(*X, dtype=m.float64)),
                ValueError, ("input", "float64", "float32")),
        Refusal(f"nn.{kind}", "no steps", lambda m, k=kind: getattr(m.nn, k)(3, 2)(m.ones(0, 2, 3)), RuntimeError,
                ("1 or more steps",)),
        Refusal(f"nn.{kind}", "hidden_size", lambda m, k=kind: getattr(m.nn, k)(3, 0), ValueError,
                ("hidden_size", "greater than zero", "0")),
        Refusal(f"nn.{kind}", "size's type", lambda m, k=kind: getattr(m.nn, k)(3, 2.0), TypeError,
                ("hidden_size", "int", "float")),
        Refusal(f"nn.{kind}", "dropout", lambda m, k=kind: getattr(m.nn, k)(3, 2, dropout=2), ValueError,
                ("dropout", r"\[0, 1\]", "2")),
        Refusal(f"nn.{kind}Cell", "rank", lambda m, k=kind: getattr(m.nn, k + "Cell")(3, 2)(m.ones(*X)), ValueError,
                ("input", "1 or 2", r"\(4, 2, 3\)")),
        Refusal(f"nn.{kind}Cell", "features", lambda m, k=kind: getattr(m.nn, k + "Cell")(3, 2)(m.ones(4)),
                RuntimeError, ("input", "3", r"\(4,\)")),
    )
]  # fmt: skip
RECURRENT += [
    Refusal("nn.RNNBase", "mode", lambda m: m.nn.RNNBase("RNN", 3, 2), ValueError, ("mode must be", "LSTM", "'RNN'")),
]
RECURRENT += [
    Refusal("nn.RNN", "nonlinearity", lambda m: m.nn.RNN(3, 2, nonlinearity="sin"), ValueError,
            ("nonlinearity", "'tanh' or 'relu'", "'sin'")),
    Refusal("nn.RNN", "state's shape", lambda m: m.nn.RNN(3, 2)(m.ones(*X), m.ones(1, 5, 2)), RuntimeError,
            ("hx", r"\(1, 2, 2\)", r"\(1, 5, 2\)")),
    Refusal("nn.GRU", "state's rank", lambda m: m.nn.GRU(3, 2)(m.ones(*X), m.ones(2, 2)), RuntimeError,
            ("hx", "3 dimensions", r"\(2, 2\)")),
    Refusal("nn.LSTM", "one state", lambda m: m.nn.LSTM(3, 2)(m.ones(*X), m.ones(1, 2, 2)), TypeError,
            ("hx", "pair", "Tensor")),
    Refusal("nn.LSTM", "proj_size", lambda m: m.nn.LSTM(3, 2, proj_size=2), ValueError, ("proj_size", "2")),
    Refusal("nn.RNNCell", "state's shape", lambda m: m.nn.RNNCell(3, 2)(m.ones(4, 3), m.ones(3, 2)), RuntimeError,
            ("hx", r"\(4, 2\)", r"\(3, 2\)")),
    Refusal("nn.LSTMCell", "one state", lambda m: m.nn.LSTMCell(3, 2)(m.ones(4, 3), m.ones(4, 2)), TypeError,
            ("hx", "pair", "Tensor")),
    Refusal("nn.utils.rnn.pack_padded_sequence", "not sorted", lambda m: pack(m, [1, 4]), RuntimeError,
            ("lengths", "descend", r"\[1, 4\]", "enforce_sorted=False")),
    Refusal("nn.utils.rnn.pack_padded_sequence", "length 0", lambda m: pack(m, [1, 0]), RuntimeError,
            ("lengths", r"\[1, 0\]")),
    Refusal("nn.utils.rnn.pack_padded_sequence", "too long", lambda m: pack(m, [5, 1]), RuntimeError,
            ("lengths", "4 steps", r"\[5, 1\]")),
    Refusal("nn.utils.rnn.pack_padded_sequence", "how many", lambda m: pack(m, [4]), RuntimeError,
            ("lengths", "2", "1")),
    Refusal("nn.utils.rnn.pad_packed_sequence", "total_length",
            lambda m: m.nn.utils.rnn.pad_packed_sequence(pack(m, [4, 2]), total_length=3), ValueError,
            ("total_length", "4", "3")),
    Refusal("nn.utils.rnn.pad_packed_sequence", "no pack", lambda m: m.nn.utils.rnn.pad_packed_sequence(m.ones(2)),
            TypeError, ("sequence", "PackedSequence", "Tensor")),
    Refusal("nn.utils.rnn.pad_sequence", "none", lambda m: m.nn.utils.rnn.pad_sequence([]), RuntimeError,
            ("sequences", "none")),
    Refusal("nn.utils.rnn.pad_sequence", "other axes",
            lambda m: m.nn.utils.rnn.pad_sequence([m.ones(2, 3), m.ones(2, 4)]), RuntimeError,
            ("sequences", r"\(2, 3\)", r"\(2, 4\)")),
    Refusal("nn.utils.rnn.pad_sequence", "side",
            lambda m: m.nn.utils.rnn.pad_sequence([m.ones(2)], padding_side="top"), ValueError,
            ("padding_side", "'right' or 'left'", "'top'")),
    Refusal("nn.utils.rnn.pack_sequence", "not sorted",
            lambda m: m.nn.utils.rnn.pack_sequence([m.ones(1), m.ones(2)]), RuntimeError, ("lengths", r"\[1, 2\]")),
    Refusal("nn.utils.rnn.unpad_sequence", "how many",
            lambda m: m.nn.utils.rnn.unpad_sequence(m.ones(4, 2), [1]), ValueError, ("lengths", "2", "1")),
    Refusal("nn.utils.rnn.unpack_sequence", "no pack", lambda m: m.nn.utils.rnn.unpack_sequence(m.ones(2)),
            TypeError, ("PackedSequence", "Tensor")),
    Refusal("nn.functional.embedding", "dtype", lambda m: m.nn.functional.embedding(m.ones(2), m.ones(3, 2)),
            TypeError, ("input", "integers", "float32")),
    Refusal("nn.functional.embedding", "no such row",
            lambda m: m.nn.functional.embedding(m.tensor([3]), m.ones(3, 2)), IndexError, ("input", "3")),
    Refusal("nn.functional.embedding", "weight's rank",
            lambda m: m.nn.functional.embedding(m.tensor([0]), m.ones(3)), RuntimeError, ("weight", r"\(3,\)")),
    Refusal("nn.functional.embedding", "sparse",
            lambda m: m.nn.functional.embedding(m.tensor([0]), m.ones(3, 2), sparse=True), NotImplementedError,
            ("sparse",)),
    Refusal("nn.Embedding", "padding_idx", lambda m: m.nn.Embedding(3, 2, padding_idx=3), ValueError,
            ("padding_idx", r"\[-3, 3\)", "3")),
    Refusal("nn.Embedding", "sparse", lambda m: m.nn.Embedding(3, 2, sparse=True), NotImplementedError, ("sparse",)),
    Refusal("nn.Embedding", "pretrained rank", lambda m: m.nn.Embedding.from_pretrained(m.ones(3)), ValueError,
            ("embeddings", r"\(3,\)")),
    Refusal("nn.EmbeddingBag", "mode", lambda m: m.nn.EmbeddingBag(3, 2, mode="min"), ValueError,
            ("mode", "'max'", "'min'")),
    Refusal("nn.functional.embedding_bag", "no offsets",
            lambda m: m.nn.functional.embedding_bag(m.tensor([0]), m.ones(3, 2)), ValueError, ("offsets", "None")),
    Refusal("nn.functional.embedding_bag", "offsets of rows",
            lambda m: m.nn.functional.embedding_bag(m.tensor([[0]]), m.ones(3, 2), m.tensor([0])), ValueError,
            ("offsets", "2 dimensions")),
    Refusal("nn.functional.embedding_bag", "first offset",
            lambda m: m.nn.functional.embedding_bag(m.tensor([0, 1]), m.ones(3, 2), m.tensor([1])), RuntimeError,
            (r"offsets\[0\]", "1")),
    Refusal("nn.functional.embedding_bag", "weights of a mean",
            lambda m: m.nn.functional.embedding_bag(m.tensor([[0]]), m.ones(3, 2), per_sample_weights=m.ones(1, 1)),
            NotImplementedError, ("per_sample_weights", "'sum'", "'mean'")),
]  # fmt: skip
