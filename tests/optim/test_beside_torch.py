"""Optimizer steps beside PyTorch's, in everything that may happen to a parameter between two steps (DESIGN §4).

Each story is written once and told twice, with `T` minipar and then PyTorch: the spelling is the same. It yields the
model at every point of interest; parameters and optimizer state must then agree to 1e-12 in float64.
"""

import copy
import pickle

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")

OPTIMIZERS = {
    "sgd": lambda T, params, **kw: T.optim.SGD(params, lr=0.1, **kw),
    "momentum": lambda T, params, **kw: T.optim.SGD(params, lr=0.1, momentum=0.9, **kw),
    "nesterov": lambda T, params, **kw: T.optim.SGD(
        params, lr=0.05, momentum=0.8, nesterov=True, weight_decay=0.1, **kw
    ),
    "dampened": lambda T, params, **kw: T.optim.SGD(
        params, lr=0.05, momentum=0.7, dampening=0.3, weight_decay=0.02, **kw
    ),
    "maximize": lambda T, params, **kw: T.optim.SGD(
        params, lr=0.01, momentum=0.5, weight_decay=0.01, maximize=True, **kw
    ),
    "adam": lambda T, params, **kw: T.optim.Adam(params, lr=0.05, **kw),
    "adam_decay": lambda T, params, **kw: T.optim.Adam(
        params, lr=0.02, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1, **kw
    ),
    "adam_maximize": lambda T, params, **kw: T.optim.Adam(params, lr=0.02, maximize=True, **kw),
    "adam_amsgrad": lambda T, params, **kw: T.optim.Adam(params, lr=0.05, amsgrad=True, weight_decay=0.1, **kw),
    "adam_decoupled": lambda T, params, **kw: T.optim.Adam(
        params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, **kw
    ),
    "adamw": lambda T, params, **kw: T.optim.AdamW(params, lr=0.05, **kw),
    "adamw_amsgrad": lambda T, params, **kw: T.optim.AdamW(
        params, lr=0.05, betas=(0.6, 0.7), amsgrad=True, weight_decay=0.2, **{"maximize": True, **kw}
    ),
    "rmsprop": lambda T, params, **kw: T.optim.RMSprop(params, **kw),
    "rmsprop_centered": lambda T, params, **kw: T.optim.RMSprop(
        params, lr=0.02, alpha=0.8, eps=1e-3, centered=True, weight_decay=0.1, **kw
    ),
    "rmsprop_momentum": lambda T, params, **kw: T.optim.RMSprop(params, momentum=0.7, **{"maximize": True, **kw}),
    "rmsprop_both": lambda T, params, **kw: T.optim.RMSprop(params, momentum=0.7, centered=True, **kw),
    "adagrad": lambda T, params, **kw: T.optim.Adagrad(params, lr=0.1, **kw),
    "adagrad_decay": lambda T, params, **kw: T.optim.Adagrad(
        params, lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.3, eps=1e-3, **kw
    ),
    "adagrad_maximize": lambda T, params, **kw: T.optim.Adagrad(params, maximize=True, **kw),
    "adadelta": lambda T, params, **kw: T.optim.Adadelta(params, **kw),
    "adadelta_decay": lambda T, params, **kw: T.optim.Adadelta(
        params, lr=0.5, rho=0.7, eps=1e-2, weight_decay=0.1, **{"maximize": True, **kw}
    ),
    "nadam": lambda T, params, **kw: T.optim.NAdam(params, lr=0.05, **kw),
    "nadam_decay": lambda T, params, **kw: T.optim.NAdam(
        params, lr=0.05, betas=(0.7, 0.8), eps=1e-3, weight_decay=0.1, momentum_decay=0.1, **kw
    ),
    "nadam_decoupled": lambda T, params, **kw: T.optim.NAdam(
        params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, **{"maximize": True, **kw}
    ),
    "adamax": lambda T, params, **kw: T.optim.Adamax(params, lr=0.05, **kw),
    "adamax_decay": lambda T, params, **kw: T.optim.Adamax(
        params, lr=0.05, betas=(0.7, 0.8), eps=1e-2, weight_decay=0.1, **{"maximize": True, **kw}
    ),
    "radam": lambda T, params, **kw: T.optim.RAdam(params, lr=0.05, **kw),
    "radam_decay": lambda T, params, **kw: T.optim.RAdam(
        params, lr=0.05, betas=(0.7, 0.9), eps=1e-3, weight_decay=0.1, **kw
    ),
    "radam_decoupled": lambda T, params, **kw: T.optim.RAdam(
        params, lr=0.05, weight_decay=0.1, decoupled_weight_decay=True, **{"maximize": True, **kw}
    ),
    "asgd": lambda T, params, **kw: T.optim.ASGD(params, lr=0.1, **kw),
    "asgd_averaging": lambda T, params, **kw: T.optim.ASGD(
        params, lr=0.01, lambd=0.02, alpha=0.6, t0=3, weight_decay=0.1, **{"maximize": True, **kw}
    ),
    "rprop": lambda T, params, **kw: T.optim.Rprop(params, lr=0.05, **kw),
    "rprop_sizes": lambda T, params, **kw: T.optim.Rprop(
        params, lr=0.05, etas=(0.7, 1.5), step_sizes=(0.01, 0.2), **kw
    ),
    "rprop_maximize": lambda T, params, **kw: T.optim.Rprop(
        params, lr=1e-3, step_sizes=(1e-4, 2e-3), **{"maximize": True, **kw}
    ),
}
# For the stories: with memory and decay, so that a step too many or too few shows.
TOLD = ["nesterov", "adam_decay", "adamw_amsgrad", "rmsprop_momentum", "adagrad_decay", "nadam_decay"]
UNTOLD = {  # where PyTorch does something that is not to be followed
    ("data_of_another_shape", "adagrad_decay"): "its state is there from the beginning, in the old shape: an error",
    ("moved_to_float64_later", "adagrad_decay"): "its state is there from the beginning, and stays float32",
    ("state_loaded_on_the_way", "nadam_decay"): "the loaded mu_product becomes float64: the run goes on differently",
}

STORIES = {}


def story(function):
    STORIES[function.__name__] = function
    return function


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape)


def tensor(T, array):
    return T.tensor(array, dtype=T.float64)


def network(T, seed=0):
    """Three layers, the same numbers in both libraries."""
    model = T.nn.Sequential(T.nn.Linear(3, 4), T.nn.Tanh(), T.nn.Linear(4, 4), T.nn.Tanh(), T.nn.Linear(4, 2)).double()
    fill(T, model, seed)
    return model


def fill(T, model, seed=0):
    with T.no_grad():
        for i, p in enumerate(model.parameters()):
            p.copy_(tensor(T, numbers(*p.shape, seed=seed + i)))


def backward(T, model, seed=7):
    x, y = tensor(T, numbers(5, 3, seed=seed)), tensor(T, numbers(5, 2, seed=seed + 1))
    loss = T.nn.functional.mse_loss(model(x), y)
    loss.backward()
    return loss


def train(T, model, *optimizers, steps=3, seed=7):
    for i in range(steps):
        for optimizer in optimizers:
            optimizer.zero_grad()
        backward(T, model, seed + 10 * i)
        for optimizer in optimizers:
            optimizer.step()


def plain_array(x):
    return np.array(x.detach().numpy() if hasattr(x, "detach") else x)


def told(T, name, make):
    """What the story yields, as plain arrays: of a model its parameters, of an optimizer its state, else the thing."""
    seen = []
    for things in STORIES[name](T, lambda params, **kw: make(T, params, **kw)):
        for thing in things if isinstance(things, tuple) else (things,):
            if isinstance(thing, T.nn.Module):
                seen += [(k, p.detach().numpy().copy()) for k, p in thing.named_parameters(remove_duplicate=False)]
            elif isinstance(thing, T.optim.Optimizer):
                for number, entry in sorted(thing.state_dict()["state"].items()):
                    seen += [(f"state {number} {k}", plain_array(v)) for k, v in sorted(entry.items())]
            else:
                seen.append(("value", plain_array(thing)))
    return seen


def assert_same_story(name, make):
    ours, theirs = told(minipar, name, make), told(torch, name, make)
    assert [key for key, _ in ours] == [key for key, _ in theirs]
    assert ours
    for (key, a), (_, b) in zip(ours, theirs):
        assert a.dtype == b.dtype, key
        np.testing.assert_allclose(a, b, rtol=1e-12, atol=1e-12, err_msg=key)


@story
def plain(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    for _ in range(5):
        train(T, model, optimizer, steps=5)
        yield model, optimizer


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_plain_training(optimizer):
    assert_same_story("plain", OPTIMIZERS[optimizer])


@story
def data_replaced(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    model[2].weight.data = tensor(T, numbers(4, 4, seed=40))
    model[0].bias.data = model[0].bias.data * 2
    train(T, model, optimizer, steps=2)
    yield model, optimizer


@story
def data_put_back(T, make):
    """`old` keeps its numbers while other weights take its place."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    old = model[2].weight.data
    model[2].weight.data = tensor(T, numbers(4, 4, seed=41))
    yield model, old
    model[2].weight.data = old
    yield model
    train(T, model, optimizer, steps=2)
    yield model, optimizer, old


@story
def data_swapped(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    first, second = model[0].bias, model[2].bias
    first.data, second.data = second.data, first.data
    yield model
    train(T, model, optimizer)
    yield model, optimizer


@story
def data_of_another_shape(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    model[0].weight.data = tensor(T, numbers(4, 5, seed=42))
    model[0].in_features = 5
    for seed in range(3):
        optimizer.zero_grad()
        x = tensor(T, numbers(6, 5, seed=seed))
        (model(x) ** 2).sum().backward()
        optimizer.step()
        yield model, optimizer


@story
def data_of_other_strides(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=1)
    old = [model[2].weight.data, model[4].weight.data]  # looked at, so that the new arrays are taken as they are
    model[2].weight.data = tensor(T, numbers(4, 8, seed=43)).T[::2]
    model[4].weight.data = tensor(T, numbers(4, 2, seed=44)).T
    train(T, model, optimizer)
    yield (model, optimizer, *old)


@story
def moved_to_float64_later(T, make):
    model = network(T).float()
    optimizer = make(model.parameters())
    model.double()
    train(T, model, optimizer)
    yield model, optimizer


@story
def without_gradient(T, make):
    """Parameters without a gradient are skipped: no decay, no momentum, no step counted. Then they come back."""
    model = network(T)
    optimizer = make(model.parameters())
    for missing in ([], [0, 3], [2], [5], [0, 1, 2, 3, 4, 5], []):
        optimizer.zero_grad()
        backward(T, model)
        for i, p in enumerate(model.parameters()):
            if i in missing:
                p.grad = None
        optimizer.step()
        yield model, optimizer


@story
def zero_gradients_count(T, make):
    """A gradient of zeros is a gradient: decay and momentum go on."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    for _ in range(2):
        optimizer.zero_grad(set_to_none=False)
        optimizer.step()
        yield model, optimizer
    backward(T, model)
    kept = model[0].weight.grad
    model.zero_grad(set_to_none=False)
    yield kept
    optimizer.step()
    yield model, optimizer


@story
def two_disjoint_optimizers(T, make):
    model = network(T)
    front, back = make(model[:3].parameters()), make(model[4].parameters(), maximize=False)
    train(T, model, front, back)
    yield model, front, back


@story
def two_overlapping_optimizers(T, make):
    model = network(T)
    everything = make(model.parameters())
    part = make([model[2].weight, model[0].bias, model[4].bias])
    train(T, model, everything, part)
    yield model, everything, part
    train(T, model, part, steps=2)
    train(T, model, everything, steps=2)
    yield model, everything, part


@story
def groups(T, make):
    model = network(T)
    optimizer = make(
        [
            {"params": model[0].parameters(), "lr": 0.5},
            {"params": [model[4].bias, model[2].weight], "weight_decay": 0.3},
            {"params": model[4].weight},
        ]
    )
    train(T, model, optimizer)
    yield model, optimizer
    for group in optimizer.param_groups:
        group["lr"] = group["lr"] / 2
    train(T, model, optimizer)
    yield model, optimizer


@story
def frozen_before(T, make):
    model = network(T)
    model[2].requires_grad_(False)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    yield model, optimizer
    model[2].requires_grad_(True)
    train(T, model, optimizer)
    yield model, optimizer


@story
def frozen_after(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    model[0].requires_grad_(False)
    train(T, model, optimizer)
    yield model, optimizer


@story
def tied(T, make):
    model = network(T)
    model[4] = T.nn.Linear(4, 4).double()
    fill(T, model)
    model[4].weight = model[2].weight
    optimizer = make(model.parameters())
    for seed in range(3):
        optimizer.zero_grad()
        (model(tensor(T, numbers(5, 3, seed=seed))) ** 2).sum().backward()
        optimizer.step()
    yield model, optimizer


@story
def layers_added_later(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    late = T.nn.Linear(2, 2).double()
    fill(T, late, 20)
    model.append(late)
    optimizer.add_param_group({"params": late.parameters(), "lr": 0.3})
    train(T, model, optimizer)
    yield model, optimizer


@story
def gradient_kept(T, make):
    """A gradient that the user holds, whole or in part, keeps its numbers when the next one is computed."""
    model = network(T)
    optimizer = make(model.parameters())
    backward(T, model)
    kept = [model[0].weight.grad, model[2].weight.grad.view(-1), model[2].bias.grad.detach(), model[4].weight.grad[0]]
    array = model[4].bias.grad.numpy()[1:]
    optimizer.step()
    train(T, model, optimizer, steps=2, seed=50)
    yield (*kept, array, model, optimizer)
    del kept, array
    train(T, model, optimizer, steps=2)
    yield model, optimizer


@story
def gradients_edited(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    for _ in range(3):
        optimizer.zero_grad()
        backward(T, model)
        for p in model.parameters():
            p.grad *= 0.5
        norm = sum(float((p.grad**2).sum()) for p in model.parameters()) ** 0.5
        for p in model.parameters():
            p.grad.mul_(min(1.0, 0.1 / norm))
        optimizer.step()
        yield model, optimizer


@story
def gradients_accumulated(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    for _ in range(2):
        optimizer.zero_grad()
        for seed in (1, 2, 3):
            backward(T, model, seed)
        optimizer.step()
    yield model, optimizer


@story
def gradients_assigned(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=1)
    given = tensor(T, numbers(4, 4, seed=44))
    for _ in range(2):
        optimizer.zero_grad()
        backward(T, model)
        model[2].weight.grad = given
        model[0].bias.grad = model[2].bias.grad  # shared by two parameters
        optimizer.step()
    yield model, optimizer, given


@story
def gradient_of_a_gradient(T, make):
    """create_graph leaves gradients that are no leaves."""
    model = network(T)
    optimizer = make(model.parameters())
    for seed in range(2):
        optimizer.zero_grad()
        x = tensor(T, numbers(5, 3, seed=seed)).requires_grad_()
        (slope,) = T.autograd.grad((model(x) ** 2).sum(), [x], create_graph=True)
        (0.001 * (slope**2).sum()).backward()
        optimizer.step()
    yield model, optimizer


@story
def written_by_hand(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    for seed in range(3):
        train(T, model, optimizer, steps=1)
        with T.no_grad():
            model[0].weight.add_(tensor(T, numbers(4, 3, seed=seed)))
            model[2].bias.copy_(tensor(T, numbers(4, seed=seed)))
            model[4].bias[0] = 1.5
        model[4].weight.data.mul_(0.5)
    yield model, optimizer


@story
def state_loaded_on_the_way(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    weights = {k: v.clone() for k, v in model.state_dict().items()}
    state, state_again = (copy.deepcopy(optimizer.state_dict()) for _ in range(2))  # PyTorch keeps what it loads
    optimizer.param_groups[0]["lr"] = 0.7
    train(T, model, optimizer, steps=2, seed=90)
    yield model, optimizer
    model.load_state_dict(weights)
    optimizer.load_state_dict(state)
    train(T, model, optimizer, steps=2)
    yield model, optimizer, optimizer.param_groups[0]["lr"]
    other = network(T, seed=5)
    fresh = make(other.parameters())
    other.load_state_dict(weights)
    fresh.load_state_dict(state_again)
    train(T, other, fresh, steps=2)
    yield other, fresh


@story
def state_reset(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    optimizer.state.pop(model[2].weight)
    optimizer.state[model[0].bias].clear()
    train(T, model, optimizer)
    yield model, optimizer


@story
def state_edited(T, make):
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    for entry in optimizer.state.values():
        for value in entry.values():
            if value.ndim:
                value.mul_(0.5)
    entry = optimizer.state[model[2].weight]
    name = next(k for k, value in entry.items() if value.ndim)
    entry[name] = tensor(T, numbers(4, 4, seed=45) ** 2)
    if "step" in entry:
        optimizer.state[model[0].weight]["step"].fill_(1)
    train(T, model, optimizer)
    yield model, optimizer


@story
def one_step_count_edited(T, make):
    """In place, so that nothing but the number itself tells."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    entry = optimizer.state[model[2].weight]
    if "step" in entry:
        entry["step"].fill_(1)
    train(T, model, optimizer)
    yield model, optimizer


@story
def state_dict_kept(T, make):
    """A state dict taken before the optimizer was made still shows the live numbers."""
    model = network(T)
    before = model.state_dict()
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    yield (*before.values(), model)


@story
def copies(T, make):
    """deepcopy and pickle of a model in training give models of their own, with no gradient left over (deepcopy)."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    copied = copy.deepcopy(model)
    yield [p.grad is None for p in copied.parameters()]
    pickled = pickle.loads(pickle.dumps(model))
    train(T, model, optimizer)
    yield model, copied, pickled
    for clone in (copied, pickled):
        train(T, clone, make(clone.parameters()), steps=2)
    yield model, copied, pickled


@story
def copied_together(T, make):
    """A model and its optimizer copied in one go belong together."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer)
    clone, its_optimizer = copy.deepcopy((model, optimizer))
    train(T, clone, its_optimizer, seed=60)
    yield model, optimizer, clone, its_optimizer


@story
def replaced_attribute(T, make):
    """A Parameter assigned in place of another is not the optimizer's."""
    model = network(T)
    optimizer = make(model.parameters())
    train(T, model, optimizer, steps=2)
    old = model[2].bias
    model[2].bias = T.nn.Parameter(tensor(T, numbers(4, seed=46)))
    train(T, model, optimizer, steps=2)
    yield model, optimizer, old.detach()


@story
def parameter_over_an_array(T, make):
    array = numbers(3, 3)
    p = T.nn.Parameter(T.from_numpy(array))
    q = T.nn.Parameter(tensor(T, numbers(2, seed=3)))
    optimizer = make([p, q])
    for _ in range(3):
        optimizer.zero_grad()
        ((p**2).sum() * (q**2).sum()).backward()
        optimizer.step()
        yield p.detach(), q.detach(), array, optimizer


@story
def plain_leaves(T, make):
    """Tensors that are no Parameters: 0-d, empty, transposed, alone and beside Parameters."""
    scalar = tensor(T, 2.0).requires_grad_()
    empty = T.zeros(0, 3, dtype=T.float64, requires_grad=True)
    transposed = tensor(T, numbers(2, 3)).T.requires_grad_()
    parameter = T.nn.Parameter(tensor(T, numbers(3, 2, seed=1)))
    leaves = [scalar, empty, transposed, parameter]
    optimizer = make(leaves)
    for _ in range(3):
        optimizer.zero_grad()
        (((transposed * parameter) ** 2).sum() * scalar + empty.sum()).backward()
        optimizer.step()
    yield (*(leaf.detach() for leaf in leaves), optimizer)


@story
def closure(T, make):
    model = network(T)
    optimizer = make(model.parameters())

    def loss():
        optimizer.zero_grad()
        return backward(T, model)

    with T.no_grad():
        losses = [float(optimizer.step(loss).detach()) for _ in range(3)]
    yield model, optimizer, losses, optimizer.step() is None


@pytest.mark.parametrize(
    ("name", "optimizer"),
    [(name, made) for name in STORIES if name != "plain" for made in TOLD if (name, made) not in UNTOLD],
)
def test_story(name, optimizer):
    assert_same_story(name, OPTIMIZERS[optimizer])


def test_momentum_switched_on_and_off():
    def run(T):
        model = network(T)
        optimizer = T.optim.SGD(model.parameters(), lr=0.1)
        for momentum in (0.0, 0.9, 0.9, 0.0, 0.5):
            optimizer.param_groups[0]["momentum"] = momentum
            train(T, model, optimizer, steps=1)
        return [p.detach().numpy() for p in model.parameters()]

    for ours, theirs in zip(run(minipar), run(torch)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def carried(state_dict, T):
    """A copy of an optimizer's state dict with tensors of library `T`; minipar's optimizers take PyTorch's as it is."""
    copied = copy.deepcopy(state_dict)
    if T is torch:
        for entry in copied["state"].values():
            entry.update({k: torch.tensor(v.numpy()) for k, v in entry.items()})
    return copied


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize(("here", "there"), [(minipar, torch), (torch, minipar)], ids=["to PyTorch", "from PyTorch"])
def test_a_run_goes_on_in_the_other_library(optimizer, here, there):
    model = network(here)
    first = OPTIMIZERS[optimizer](here, model.parameters())
    train(here, model, first, steps=6)
    other = network(there, seed=9)
    second = OPTIMIZERS[optimizer](there, other.parameters())
    with there.no_grad():
        for p, q in zip(other.parameters(), model.parameters()):
            p.copy_(there.tensor(plain_array(q)))
    second.load_state_dict(carried(first.state_dict(), there))
    train(here, model, first, steps=6, seed=80)
    train(there, other, second, steps=6, seed=80)
    # PyTorch makes what it loads of mu_product, eta and mu float64, and so goes on from them differently itself.
    tolerance = 1e-5 if there is torch and optimizer.startswith(("nadam", "asgd")) else 1e-12
    for p, q in zip(other.parameters(), model.parameters()):
        np.testing.assert_allclose(plain_array(p), plain_array(q), rtol=tolerance, atol=tolerance)
    ours, theirs = first.state_dict(), second.state_dict()
    assert ours["param_groups"] == theirs["param_groups"]
    for number, entry in ours["state"].items():
        assert set(entry) == set(theirs["state"][number])
        for name, value in entry.items():
            found = plain_array(theirs["state"][number][name])
            np.testing.assert_allclose(found, plain_array(value), rtol=tolerance, atol=tolerance, err_msg=name)
