"""The scripts of the articles that this project started from, with their import lines changed to minipar's.

Nothing else is changed but what is wrong in them, listed in articles.py. The same texts run under PyTorch, so that they
are PyTorch's scripts beyond doubt.
"""

import difflib

import numpy as np
import pytest

from minipar.data import load
from tests.articles.article import Article, ported
from tests.articles.articles import (
    BACKPROPAGATION,
    CNN,
    HIDDEN_SHAPE,
    HOUSE_PRICES,
    LINEAR_REGRESSION,
    MISSING_F,
    RELU_ON_LOGITS,
    RNN,
)


def images():
    """Fashion-MNIST's 2,000 + 500 images (N, 1, 28, 28)."""
    table = load("fashion_mnist")
    return {part: getattr(table, part) for part in ("x_train", "y_train", "x_test", "y_test")}


def rows():
    """The 8×8 digits in a blank frame, read row by row: sequences of ten steps with ten inputs, of ten classes."""
    table = load("digits")
    x_train, x_test = (np.pad(x[:, 0], ((0, 0), (1, 1), (1, 1))) for x in (table.x_train, table.x_test))
    return {"x_train": x_train, "y_train": table.y_train, "x_test": x_test, "y_test": table.y_test}


@pytest.fixture(params=["minipar", "torch"])
def library(request):
    if request.param == "torch":
        pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
    return request.param


def test_the_cnn_tells_clothes_apart(library, capsys):
    """0.75 on 500 images it never saw; runs with other seeds came to 0.79 ... 0.85 in either library."""
    assert CNN.run(library, images())["accuracy"] > 0.75
    assert capsys.readouterr().out.count("Epoch [") == 6


def test_the_rnn_reads_digits(library, capsys):
    """0.88 on 449 digits it never saw; runs with other seeds came to 0.92 ... 0.96 in either library."""
    assert RNN.run(library, rows())["accuracy"] > 0.88
    assert capsys.readouterr().out.count("Epoch: ") == 15


def test_the_regression_finds_slope_and_intercept(library, capsys):
    """Noise of 0.1 on 100 points: slope and intercept are known to 0.017 and 0.010, one standard error."""
    found = LINEAR_REGRESSION.run(library, {})
    assert found["slope"] == pytest.approx(3, abs=0.09)
    assert found["intercept"] == pytest.approx(2, abs=0.05)
    least_squares = np.polyfit(found["x"].numpy()[:, 0].astype(float), found["y"].numpy()[:, 0].astype(float), 1)
    np.testing.assert_allclose([found["slope"], found["intercept"]], least_squares, atol=1e-4)
    assert "Epoch [300/300], Loss: 0.0" in capsys.readouterr().out


# ── what is wrong in them is wrong ────────────────────────────────────────────────────────────────────────────────────


def test_without_its_import_the_cnn_stops(library):
    with pytest.raises(NameError, match="'F' is not defined"):
        CNN.run(library, images(), leave_out=MISSING_F)


def test_a_hidden_state_without_batch_is_refused(library):
    with pytest.raises(RuntimeError, match=r"hx .*3"):
        RNN.run(library, rows(), leave_out=HIDDEN_SHAPE)


def test_behind_a_relu_a_negative_logit_learns_nothing(library):
    def gradient_of_a_class_left_behind(leave_out):
        few = {name: values[:64] for name, values in images().items()}
        script = CNN.run(library, few, leave_out)
        model, torch = script["model"], script["torch"]
        with torch.no_grad():
            model.fc2.bias[few["y_train"][0]] = -100.0
        model.zero_grad()
        output = model(torch.from_numpy(few["x_train"]))
        script["criterion"](output, torch.from_numpy(few["y_train"])).backward()
        return abs(model.fc2.weight.grad.numpy()[few["y_train"][0]]).max()

    assert gradient_of_a_class_left_behind(leave_out=RELU_ON_LOGITS) == 0
    assert gradient_of_a_class_left_behind(leave_out=None) > 0


# ── and nothing else is changed ───────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    "article", [CNN, RNN, LINEAR_REGRESSION, HOUSE_PRICES, BACKPROPAGATION], ids=lambda article: article.name
)
def test_only_import_lines_change(article: Article):
    before, after = article.text("torch").splitlines(), article.text("minipar").splitlines()
    changed = [line[2:] for line in difflib.ndiff(before, after) if line.startswith("- ")]
    assert changed == [line for line in before if line.startswith(("import torch", "from torch"))]
    assert len(after) == len(before)


def test_import_lines_become_the_ones_of_the_readme():
    printed = "import torch\nimport torch.nn as nn\nfrom torch.utils.data import Dataset\nprint('import torch')"
    changed = "import minipar as torch\nimport minipar.nn as nn\nfrom minipar.utils.data import Dataset"
    assert ported(printed) == changed + "\nprint('import torch')"
