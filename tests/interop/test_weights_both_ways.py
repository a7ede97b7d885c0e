"""Weights travel to PyTorch and back through safetensors: the same model computes the same."""

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def images(nn):
    layers = [nn.Conv2d(2, 4, 3, bias=False), nn.BatchNorm2d(4), nn.PReLU(4), nn.ConvTranspose2d(4, 2, 3, groups=2)]
    return nn.Sequential(*layers, nn.GroupNorm(2, 2), nn.Flatten(), nn.Linear(72, 3))


def sequences(nn):
    class Sequences(nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding = nn.Embedding(7, 6, padding_idx=0)
            self.lstm = nn.LSTM(6, 5, 2, bidirectional=True, batch_first=True, proj_size=3)
            self.gru = nn.GRU(6, 4, batch_first=True)
            self.norm = nn.LayerNorm(10)

        def forward(self, numbers):
            h = self.lstm(self.embedding(numbers))[0]
            return self.norm((h.sum(1)[:, :, None] * self.gru(h)[0].sum(1)[:, None]).reshape(-1, 24)[:, :10])

    return Sequences()


def transformer(nn):
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True, dropout=0.0), 2)
    return nn.Sequential(nn.Linear(4, 8), encoder, nn.RMSNorm(8))


def autoencoder(nn):
    return nn.Sequential(nn.ModuleDict({"encode": nn.Linear(4, 3)})["encode"], nn.Sigmoid(), nn.Linear(3, 4))


RANDOM = np.random.default_rng(0)
MODELS = {
    "images": (images, RANDOM.normal(size=(3, 2, 6, 6))),
    "sequences": (sequences, RANDOM.integers(0, 7, (3, 5))),
    "transformer": (transformer, RANDOM.normal(size=(2, 5, 4))),
    "autoencoder": (autoencoder, RANDOM.normal(size=(2, 4))),
}


def outputs(ours, theirs, given):
    """What both make of the same input, in training (which moves running statistics) and in eval mode."""
    pairs = []
    for mode in (True, False):
        with minipar.no_grad(), torch.no_grad():
            y, wanted = ours.train(mode)(minipar.tensor(given)), theirs.train(mode)(torch.tensor(given))
        pairs.append((y.numpy(), wanted.numpy()))
    return pairs


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("forth", [True, False], ids=["from torch", "to torch"])
def test_a_state_dict_loads_in_the_other_library(tmp_path, name, forth):
    from safetensors.torch import load_file, save_file

    make, given = MODELS[name]
    minipar.manual_seed(0)
    ours, theirs = make(minipar.nn).double(), make(torch.nn).double()
    path = tmp_path / "model.safetensors"
    if forth:
        save_file(theirs.state_dict(), path)
        ours.load_state_dict(minipar.load(path))
    else:
        minipar.save(ours.state_dict(), path)
        theirs.load_state_dict(load_file(path))
    assert list(ours.state_dict()) == list(theirs.state_dict())
    for y, wanted in outputs(ours, theirs, given):
        np.testing.assert_allclose(y, wanted, rtol=1e-9, atol=1e-9)
    for (key, value), theirs_ in zip(ours.state_dict().items(), theirs.state_dict().values(), strict=True):
        np.testing.assert_allclose(value.numpy(), theirs_.numpy(), rtol=1e-9, err_msg=key)


def test_a_file_of_another_model_is_refused_by_name(tmp_path):
    from safetensors.torch import save_file

    save_file(torch.nn.Linear(3, 2).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(RuntimeError, match=r"(?s)weight.*\(2, 3\).*\(2, 4\)|weight.*\(2, 4\).*\(2, 3\)"):
        minipar.nn.Linear(4, 2).load_state_dict(minipar.load(tmp_path / "model.safetensors"))
