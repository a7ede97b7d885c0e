"""The articles' scripts and everything that is wrong in them.

The articles themselves were not at hand: the scripts are written as such articles have them, with the mistakes that are
known of them. `house_prices` is no article's: it is the job of `mlp_regressor` in PyTorch's spelling.
"""

from __future__ import annotations

from tests.articles.article import Article, Correction

MISSING_F = Correction(
    old="import torch.nn as nn\n",
    new="import torch.nn as nn\nimport torch.nn.functional as F\n",
    why="forward calls F.relu, and F was never imported",
)
RELU_ON_LOGITS = Correction(
    old="x = F.relu(self.fc2(x))",
    new="x = self.fc2(x)",
    why="cross entropy takes logits of either sign; behind a ReLU a class whose logit is negative learns nothing",
)
HIDDEN_SHAPE = Correction(
    old="h0 = torch.zeros(1, self.hidden_size)",
    new="h0 = torch.zeros(1, x.size(0), self.hidden_size)",
    why="the hidden state of a batch is (layers, batch, hidden), not (layers, hidden)",
)

CNN = Article("cnn", (MISSING_F, RELU_ON_LOGITS))
RNN = Article("rnn", (HIDDEN_SHAPE,))
LINEAR_REGRESSION = Article("linear_regression")
HOUSE_PRICES = Article("house_prices")

MLP_REGRESSOR = Article(
    "mlp_regressor",
    (
        Correction(
            old="from sklearn.datasets import load_boston\n",
            new="",
            why="scikit-learn withdrew the Boston houses in version 1.2; those of Ames take their place",
        ),
        Correction(
            old="boston = load_boston()\n",
            new="",
            why="as above",
        ),
        Correction(
            old="train_test_split(boston.data, boston.target, test_size=0.25, random_state=0)",
            new="X_train, X_test, y_train, y_test",
            why="the Ames houses come split, so that every model is judged on the same ones",
        ),
    ),
)

BACKPROPAGATION = Article(
    "backpropagation",
    (
        Correction(
            old="delta2 = y - target",
            new="delta2 = 2 / y.numel() * (y - target)",
            why="the loss is the mean of squares: its derivative has the factor 2 and the mean's 1/n",
        ),
        Correction(
            old="dW2 = delta2 @ a1",
            new="dW2 = a1.T @ delta2",
            why="y = a1 W2 makes dW2 = a1ᵀ δ2: the sum over samples of what went in times what came back",
        ),
        Correction(
            old="db2 = delta2.mean(dim=0)",
            new="db2 = delta2.sum(dim=0)",
            why="every sample meets the same bias: its gradient is the sum over the batch (δ2 holds the 1/n already)",
        ),
        Correction(
            old="(delta2 @ W2)",
            new="(delta2 @ W2.T)",
            why="what went forward through W2 comes back through W2ᵀ",
        ),
        Correction(
            old="(y > 0)",
            new="(z1 > 0)",
            why="ReLU' belongs where the ReLU was, at the hidden layer; the output layer has none",
        ),
        Correction(
            old="db1 = delta1.mean(dim=0)",
            new="db1 = delta1.sum(dim=0)",
            why="as for db2",
        ),
    ),
)
