"""More training steps for `STEPS`: losses over sums of weights, and hooks that compute."""

import minipar
import minipar.nn.functional as F
from minipar import nn, optim
from tests.compile.steps import STEPS, classified, floats, mlp, numbers, training


def _denominated(loss, **options):
    """Losses over a sum of weights that is another one in each batch."""

    def make():
        model, classes = nn.Sequential(mlp(), nn.LogSoftmax(1)), numbers(3, 8)
        for i, y in enumerate(classes):
            y[: i % 4] = options.get("ignore_index", -100)
        optimizer = optim.SGD(model.parameters(), lr=0.1)
        return training(model, optimizer, lambda m, x, y: loss(m(x), y, **options), floats(8, 5), classes)

    return make


_WEIGHTS = minipar.tensor([0.2, 1.0, 3.0])
STEPS["weighted_classes"] = _denominated(F.cross_entropy, weight=_WEIGHTS)
STEPS["smoothed_classes"] = _denominated(F.cross_entropy, weight=_WEIGHTS, label_smoothing=0.1)
STEPS["ignored_smoothed_classes"] = _denominated(F.cross_entropy, ignore_index=1, label_smoothing=0.1)
STEPS["likelihood"] = _denominated(F.nll_loss)
STEPS["weighted_likelihood"] = _denominated(F.nll_loss, weight=_WEIGHTS)
STEPS["summed_likelihood"] = _denominated(F.nll_loss, weight=_WEIGHTS, reduction="sum")


def _hooked(register):
    """Hooks that compute: what they give is part of the step."""

    def make():
        model = mlp()
        register(model)
        return training(model, optim.SGD(model.parameters(), lr=0.1), classified, floats(8, 5), numbers(3, 8))

    return make


STEPS["forward_hook"] = _hooked(lambda m: m[0].register_forward_hook(lambda _, given, y: y * 2 + given[0].sum()))
STEPS["forward_pre_hook"] = _hooked(lambda m: m[2].register_forward_pre_hook(lambda _, given: (given[0] * given[0],)))
STEPS["backward_hook"] = _hooked(lambda m: m[2].register_full_backward_hook(lambda _, to, of: (to[0] * 0.5,)))
STEPS["backward_pre_hook"] = _hooked(lambda m: m[2].register_full_backward_pre_hook(lambda _, of: (of[0] * 0.5,)))
STEPS["gradient_hook"] = _hooked(lambda m: m[0].weight.register_hook(lambda g: g.clamp(-0.01, 0.01)))
STEPS["accumulated_hook"] = _hooked(
    lambda m: m[0].weight.register_post_accumulate_grad_hook(lambda p: p.grad.mul_(0.5))
)
