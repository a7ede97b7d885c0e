"""Twenty steps of training beside PyTorch, from the same state_dict in float64: the loss curves agree to 1e-9."""

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


def perceptron(T):
    nn = T.nn
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 3))


def convolutional(T):
    nn = T.nn
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(4, 6, 3),
        nn.Sigmoid(),
        nn.AvgPool2d(2),
        nn.Flatten(),
        nn.Linear(6, 3),
    )


def recurrent(T):
    class Reader(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = T.nn.Embedding(7, 5, padding_idx=0)
            self.rnn = T.nn.RNN(5, 6, 2, batch_first=True, bidirectional=True)
            self.head = T.nn.Linear(12, 3)

        def forward(self, words):
            states, _ = self.rnn(self.embed(words))
            return self.head(states[:, -1])

    return Reader()


def batches(kind, rng):
    for _ in range(20):
        x = {
            "perceptron": lambda: rng.standard_normal((8, 6)),
            "convolutional": lambda: rng.standard_normal((5, 1, 8, 8)),
            "recurrent": lambda: rng.integers(0, 7, (6, 5)),
        }[kind]()
        yield x, rng.integers(0, 3, len(x))


MODELS = {"perceptron": perceptron, "convolutional": convolutional, "recurrent": recurrent}
OPTIMIZERS = {
    "sgd": lambda T, p: T.optim.SGD(p, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adam": lambda T, p: T.optim.Adam(p, lr=0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("kind", MODELS)
def test_loss_curves(kind, optimizer):
    torch.manual_seed(0)
    theirs, ours = MODELS[kind](torch).double(), MODELS[kind](minipar).double()
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})

    def curve(T, model):
        step = OPTIMIZERS[optimizer](T, model.parameters())
        loss_fn = T.nn.CrossEntropyLoss()
        losses = []
        for x, y in batches(kind, np.random.default_rng(1)):
            step.zero_grad()
            loss = loss_fn(model(T.tensor(x)), T.tensor(y))
            loss.backward()
            step.step()
            losses.append(loss.item())
        return losses

    with minipar.use_kernels("reference"):
        mine = curve(minipar, ours)
    expected = curve(torch, theirs)
    assert len(set(expected)) == 20
    np.testing.assert_allclose(mine, expected, rtol=1e-9, atol=0)
    for (name, p), q in zip(ours.named_parameters(), theirs.parameters()):
        np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-7, atol=1e-9, err_msg=name)
