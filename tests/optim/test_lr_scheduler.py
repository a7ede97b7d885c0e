"""Every schedule beside PyTorch's: 60 steps, a run that stops and goes on elsewhere, closed forms, warnings, errors."""

import copy
import math
import warnings

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


class Halving:
    """A function with a state."""

    def __init__(self, factor=0.5):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor ** (epoch // 7)


def sequential(S, optimizer):
    schedulers = [S.ConstantLR(optimizer, 0.1, 4), S.ExponentialLR(optimizer, 0.9), S.CosineAnnealingLR(optimizer, 11)]
    return S.SequentialLR(optimizer, schedulers, milestones=[5, 20])


def nested(S, optimizer):
    chained = S.ChainedScheduler([S.LinearLR(optimizer, 0.2, 0.9, 9), S.StepLR(optimizer, 6, 0.7)])
    optimizer.step()  # SequentialLR begins with a step of its first scheduler, which looks for this
    return S.SequentialLR(optimizer, [chained, S.PolynomialLR(optimizer, 30, 2.0)], milestones=[12])


SCHEDULES = {
    "lambda": lambda S, o: S.LambdaLR(o, lambda epoch: 0.95**epoch),
    "lambdas": lambda S, o: S.LambdaLR(o, [Halving(), lambda epoch: 1 / (epoch + 1)]),
    "multiplicative": lambda S, o: S.MultiplicativeLR(o, lambda epoch: 0.95 + 0.001 * epoch),
    "multiplicatives": lambda S, o: S.MultiplicativeLR(o, [Halving(0.9), lambda epoch: 0.97]),
    "step": lambda S, o: S.StepLR(o, 7),
    "step_gamma": lambda S, o: S.StepLR(o, step_size=3, gamma=0.8),
    "multi_step": lambda S, o: S.MultiStepLR(o, [3, 20, 20, 41], gamma=0.5),
    "constant": lambda S, o: S.ConstantLR(o),
    "constant_long": lambda S, o: S.ConstantLR(o, factor=0.3, total_iters=40),
    "linear": lambda S, o: S.LinearLR(o),
    "linear_down": lambda S, o: S.LinearLR(o, start_factor=0.9, end_factor=0.1, total_iters=33),
    "exponential": lambda S, o: S.ExponentialLR(o, 0.93),
    "polynomial": lambda S, o: S.PolynomialLR(o),
    "polynomial_power": lambda S, o: S.PolynomialLR(o, total_iters=45, power=2.5),
    "cosine": lambda S, o: S.CosineAnnealingLR(o, T_max=17),
    "cosine_min": lambda S, o: S.CosineAnnealingLR(o, T_max=13, eta_min=0.01),
    "restarts": lambda S, o: S.CosineAnnealingWarmRestarts(o, T_0=8),
    "restarts_longer": lambda S, o: S.CosineAnnealingWarmRestarts(o, T_0=5, T_mult=2, eta_min=0.02),
    "one_cycle": lambda S, o: S.OneCycleLR(o, max_lr=0.8, total_steps=61),
    "one_cycle_linear": lambda S, o: S.OneCycleLR(
        o, max_lr=[0.8, 0.5], epochs=8, steps_per_epoch=9, pct_start=0.4, anneal_strategy="linear", div_factor=10
    ),
    "one_cycle_three": lambda S, o: S.OneCycleLR(
        o, max_lr=0.8, total_steps=60, three_phase=True, final_div_factor=50, base_momentum=[0.7, 0.6], max_momentum=0.9
    ),
    "one_cycle_still": lambda S, o: S.OneCycleLR(o, max_lr=0.8, total_steps=70, cycle_momentum=False),
    "cyclic": lambda S, o: S.CyclicLR(o, 0.01, 0.3, step_size_up=9),
    "cyclic_2": lambda S, o: S.CyclicLR(o, [0.01, 0.1], 0.3, step_size_up=4, step_size_down=7, mode="triangular2"),
    "cyclic_exp": lambda S, o: S.CyclicLR(
        o, 0.01, 0.3, step_size_up=5, mode="exp_range", gamma=0.97, base_momentum=0.5, max_momentum=[0.9, 0.95]
    ),
    "cyclic_own": lambda S, o: S.CyclicLR(o, 0.01, 0.3, 6, scale_fn=Halving(), scale_mode="iterations"),
    "cyclic_own_cycle": lambda S, o: S.CyclicLR(o, 0.01, 0.3, 6, scale_fn=lambda x: 1 / x, cycle_momentum=False),
    "sequential": sequential,
    "chained": lambda S, o: S.ChainedScheduler([S.ExponentialLR(o, 0.95), S.ConstantLR(o, 0.2, 10)], optimizer=o),
    "nested": nested,
    "plateau": lambda S, o: S.ReduceLROnPlateau(o, patience=2),
    "plateau_max": lambda S, o: S.ReduceLROnPlateau(
        o, "max", factor=0.7, patience=1, threshold=0.05, cooldown=3, min_lr=[0.05, 0.001]
    ),
    "plateau_abs": lambda S, o: S.ReduceLROnPlateau(
        o, factor=0.5, patience=0, threshold=0.3, threshold_mode="abs", eps=1e-3
    ),
    "plateau_max_abs": lambda S, o: S.ReduceLROnPlateau(o, mode="max", patience=3, threshold=0.2, threshold_mode="abs"),
}


def optimizer_of(T, kind="SGD", lr=0.4):
    p, q = (T.nn.Parameter(T.ones(2)) for _ in range(2))
    options = {"momentum": 0.6} if kind == "SGD" else {}
    return getattr(T.optim, kind)([{"params": [p]}, {"params": [q], "lr": 0.2}], lr=lr, **options)


def advance(scheduler, i):
    scheduler.optimizer.step()
    if hasattr(scheduler, "patience"):
        scheduler.step(3 * math.exp(-i / 9) + 0.3 * math.sin(i))
    else:
        scheduler.step()


def seen(scheduler):
    groups = scheduler.optimizer.param_groups
    told = [[float(g["lr"]), g.get("momentum", 0), *g.get("betas", ())] for g in groups]
    return [*np.ravel(told), *(float(lr) for lr in scheduler.get_last_lr())]


def assert_same(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-15)


def assert_same_state(ours, theirs):
    """The names and the numbers of a scheduler's state dict."""
    assert set(ours) - {"_scale_fn_ref"} == set(theirs) - {"_scale_fn_ref"}
    for name, value in ours.items():
        if name == "_schedulers":
            for mine, other in zip(value, theirs[name], strict=True):
                assert_same_state(mine, other)
        elif name == "lr_lambdas":
            assert value == theirs[name]
        else:
            assert value == pytest.approx(theirs[name]) if _numeric(value) else value == theirs[name], name


def _numeric(value):
    return isinstance(value, (int, float)) or (isinstance(value, list) and all(map(_numeric, value)))


@pytest.mark.parametrize("kind", ["SGD", "Adam"])
@pytest.mark.parametrize("name", SCHEDULES)
def test_sixty_steps(name, kind):
    told = []
    for T in (minipar, torch):
        scheduler = SCHEDULES[name](T.optim.lr_scheduler, optimizer_of(T, kind))
        values = [seen(scheduler)]
        for i in range(60):
            advance(scheduler, i)
            values.append(seen(scheduler))
        told.append((values, scheduler.state_dict()))
    (ours, our_state), (theirs, their_state) = told
    assert_same(ours, theirs)
    assert len({tuple(v) for v in ours}) > 1
    assert_same_state(our_state, their_state)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("stop", [1, 23])
def test_a_run_goes_on_from_its_state(name, stop):
    optimizer = optimizer_of(minipar)
    scheduler = SCHEDULES[name](minipar.optim.lr_scheduler, optimizer)
    for i in range(stop):
        advance(scheduler, i)
    other = SCHEDULES[name](minipar.optim.lr_scheduler, optimizer_of(minipar))
    other.optimizer.load_state_dict(optimizer.state_dict())
    other.load_state_dict(copy.deepcopy(scheduler.state_dict()))
    for i in range(stop, 60):
        for one in (scheduler, other):
            advance(one, i)
        assert seen(scheduler) == seen(other)


@pytest.mark.parametrize("name", [n for n in SCHEDULES if "cyclic" not in n and "lambda" not in n and "_own" not in n])
def test_state_from_pytorch(name):
    theirs = SCHEDULES[name](torch.optim.lr_scheduler, optimizer_of(torch))
    for i in range(23):
        advance(theirs, i)
    ours = SCHEDULES[name](minipar.optim.lr_scheduler, optimizer_of(minipar))
    ours.optimizer.load_state_dict(theirs.optimizer.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for i in range(23, 40):
        for one in (ours, theirs):
            advance(one, i)
        assert_same(seen(ours), seen(theirs))


@pytest.mark.parametrize(
    "name", ["step", "multi_step", "linear", "exponential", "cosine_min", "polynomial_power", "cyclic"]
)
@pytest.mark.parametrize("last_epoch", [0, 11])
def test_last_epoch_resumes(name, last_epoch):
    """The groups have an initial_lr, as those of a loaded optimizer."""
    kept = {
        "step": lambda S, o: S.StepLR(o, 7, last_epoch=last_epoch),
        "multi_step": lambda S, o: S.MultiStepLR(o, [3, 12], last_epoch=last_epoch),
        "linear": lambda S, o: S.LinearLR(o, total_iters=20, last_epoch=last_epoch),
        "exponential": lambda S, o: S.ExponentialLR(o, 0.9, last_epoch=last_epoch),
        "cosine_min": lambda S, o: S.CosineAnnealingLR(o, 13, 0.01, last_epoch),
        "polynomial_power": lambda S, o: S.PolynomialLR(o, 30, 2.5, last_epoch),
        "cyclic": lambda S, o: S.CyclicLR(o, 0.1, 0.3, 6, cycle_momentum=False, last_epoch=last_epoch),
    }[name]
    told = []
    for T in (minipar, torch):
        optimizer = optimizer_of(T)
        for group in optimizer.param_groups:
            group["initial_lr"] = 2 * group["lr"]
        scheduler = kept(T.optim.lr_scheduler, optimizer)
        values = [seen(scheduler)]
        for i in range(20):
            advance(scheduler, i)
            values.append(seen(scheduler))
        told.append(values)
    assert_same(*told)


@pytest.mark.parametrize(
    "name", [n for n in SCHEDULES if not n.startswith(("plateau", "sequential", "chained", "nested"))]
)
def test_an_epoch_asks_for_the_closed_form(name):
    told = []
    for T in (minipar, torch):
        scheduler = SCHEDULES[name](T.optim.lr_scheduler, optimizer_of(T))
        scheduler.optimizer.step()
        values = []
        for epoch in (0, 3, 4, 5, 20, 41, 12):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                scheduler.step(epoch)
            values.append(seen(scheduler))
        told.append(values)
    assert_same(*told)


def test_fractions_of_an_epoch_between_restarts():
    told = []
    for T in (minipar, torch):
        values = []
        for name in ("restarts", "restarts_longer"):
            scheduler = SCHEDULES[name](T.optim.lr_scheduler, optimizer_of(T))
            for epoch in (0.25, 1.5, 7.75, 8, 30.3, 36.1):
                scheduler.step(epoch)
                values.append([*seen(scheduler), scheduler.last_epoch, scheduler.T_cur])
        told.append(values)
    assert_same(*told)


def test_closed_form_and_chainable_form_agree():
    for name in ("step_gamma", "multi_step", "linear_down", "exponential", "polynomial_power", "cosine"):
        scheduler = SCHEDULES[name](minipar.optim.lr_scheduler, optimizer_of(minipar))
        for i in range(40):
            advance(scheduler, i)
            np.testing.assert_allclose(scheduler.get_last_lr(), scheduler._get_closed_form_lr(), rtol=1e-9, atol=1e-15)


def test_a_learning_rate_that_is_a_tensor_is_changed_in_place():
    told = []
    for T in (minipar, torch):
        for name in ("step", "cosine", "one_cycle_still", "plateau", "sequential"):
            lr = T.tensor(0.5, dtype=T.float64)
            optimizer = T.optim.SGD([T.nn.Parameter(T.ones(2))], lr=lr)
            scheduler = {**SCHEDULES}[name](T.optim.lr_scheduler, optimizer)
            values = []
            for i in range(20):
                advance(scheduler, i)
                values.append((float(lr), float(scheduler.get_last_lr()[0])))
            assert optimizer.param_groups[0]["lr"] is lr
            told.append(values)
    assert_same(told[:5], told[5:])


def caught(act):
    with warnings.catch_warnings(record=True) as met:
        warnings.simplefilter("always")
        act()
    return [(w.category, "how-to-adjust-learning-rate" in str(w.message)) for w in met]


def stepped(T, *order):
    optimizer = optimizer_of(T)
    if order[0] == "early":
        optimizer.step()
    scheduler = T.optim.lr_scheduler.StepLR(optimizer, 3)
    T.optim.lr_scheduler.ExponentialLR(optimizer, 0.9)
    for what in order:
        if what == "overridden":
            optimizer.step = lambda: type(optimizer).step(optimizer)
        elif what == "optimizer":
            optimizer.step()
        elif what == "scheduler":
            scheduler.step()
        elif what == "epoch":
            scheduler.step(3)
        elif what == "get_lr":
            scheduler.get_lr()


@pytest.mark.parametrize(
    ("order", "count"),
    [
        (["optimizer", "scheduler", "scheduler"], 0),
        (["scheduler", "optimizer", "scheduler"], 1),
        (["early", "scheduler"], 1),
        (["overridden", "optimizer", "scheduler"], 1),
        (["optimizer", "epoch"], 1),
        (["optimizer", "get_lr"], 1),
    ],
    ids=str,
)
def test_warnings(order, count):
    ours, theirs = (caught(lambda: stepped(T, *order)) for T in (minipar, torch))  # noqa: B023 - used at once
    assert ours == theirs
    assert len(ours) == count


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
@pytest.mark.parametrize(
    "make",
    [
        lambda S, o: S.StepLR(3, 1),
        lambda S, o: S.StepLR(o, 1, last_epoch=4),
        lambda S, o: S.LambdaLR(o, [lambda epoch: 1]),
        lambda S, o: S.MultiplicativeLR(o, 3),
        lambda S, o: S.ConstantLR(o, 1.5),
        lambda S, o: S.ConstantLR(o, -0.5),
        lambda S, o: S.LinearLR(o, 0.0),
        lambda S, o: S.LinearLR(o, 1.5),
        lambda S, o: S.LinearLR(o, 0.5, 1.5),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 0),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 1.5),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, T_mult=0),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
        lambda S, o: S.CosineAnnealingWarmRestarts(o, 2).step(-1),
        lambda S, o: S.OneCycleLR(o, 1.0),
        lambda S, o: S.OneCycleLR(o, 1.0, epochs=3),
        lambda S, o: S.OneCycleLR(o, 1.0, total_steps=0),
        lambda S, o: S.OneCycleLR(o, 1.0, epochs=0, steps_per_epoch=3),
        lambda S, o: S.OneCycleLR(o, 1.0, epochs=3, steps_per_epoch=-3),
        lambda S, o: S.OneCycleLR(o, 1.0, total_steps=9, pct_start=2.0),
        lambda S, o: S.OneCycleLR(o, 1.0, total_steps=9, anneal_strategy="log"),
        lambda S, o: S.OneCycleLR(o, [1.0], total_steps=9),
        lambda S, o: S.CyclicLR(o, 0.1, 0.2, mode="square"),
        lambda S, o: S.CyclicLR(o, [0.1], 0.2),
        lambda S, o: S.SequentialLR(o, [], []),
        lambda S, o: S.SequentialLR(o, [S.StepLR(o, 1)], [3]),
        lambda S, o: S.SequentialLR(o, [S.StepLR(o, 1), S.ReduceLROnPlateau(o)], [3]),
        lambda S, o: S.SequentialLR(o, [3], []),
        lambda S, o: S.ChainedScheduler([]),
        lambda S, o: S.ChainedScheduler([S.ReduceLROnPlateau(o)]),
        lambda S, o: S.ReduceLROnPlateau(o, factor=1.0),
        lambda S, o: S.ReduceLROnPlateau(o, mode="least"),
        lambda S, o: S.ReduceLROnPlateau(o, threshold_mode="both"),
        lambda S, o: S.ReduceLROnPlateau(o, min_lr=[0.1]),
        lambda S, o: S.ReduceLROnPlateau(3),
    ],
)
def test_the_same_errors(make, optimizer):
    def raised(T):
        with pytest.raises(Exception) as caught:
            make(T.optim.lr_scheduler, optimizer_of(T, optimizer))
        return caught.type

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert raised(minipar) is raised(torch)


def test_one_cycle_ends():
    scheduler = minipar.optim.lr_scheduler.OneCycleLR(optimizer_of(minipar), 1.0, total_steps=4)
    for i in range(4):
        advance(scheduler, i)
    with pytest.raises(ValueError, match="Tried to step 5 times, but total_steps is 4"):
        advance(scheduler, 5)


def test_schedulers_of_two_optimizers_do_not_combine():
    S = minipar.optim.lr_scheduler
    one, two = optimizer_of(minipar), optimizer_of(minipar)
    with pytest.raises(ValueError, match=r"schedulers\[1\], a StepLR, belongs to another optimizer"):
        S.SequentialLR(one, [S.StepLR(one, 1), S.StepLR(two, 1)], [3])
    with pytest.raises(ValueError, match="another optimizer"):
        S.ChainedScheduler([S.StepLR(one, 1), S.StepLR(two, 1)])


def test_momentum_needs_an_optimizer_that_has_it():
    optimizer = minipar.optim.Adagrad([minipar.nn.Parameter(minipar.ones(1))])
    for make in (lambda S: S.OneCycleLR(optimizer, 1.0, 5), lambda S: S.CyclicLR(optimizer, 0.1, 0.2)):
        with pytest.raises(ValueError, match="Adagrad does not; pass cycle_momentum=False"):
            make(minipar.optim.lr_scheduler)


def test_a_group_added_later_gets_the_plateaus_one_min_lr():
    def told(T, min_lr):
        optimizer = optimizer_of(T)
        scheduler = T.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=0, min_lr=min_lr)
        optimizer.add_param_group({"params": [T.nn.Parameter(T.ones(1))]})
        for _ in range(3):
            scheduler.step(1.0)
        return scheduler.get_last_lr()

    assert_same(told(minipar, 0.01), told(torch, 0.01))
    with pytest.raises(RuntimeError, match="3 param_groups, and min_lr was given for 2"):
        told(minipar, [0.1, 0.1])
