"""A recording serves only while what it rests on is so; else the step is recorded again, or runs as it is."""

import copy

import numpy as np
import pytest

import minipar
import minipar.nn.functional as F
from minipar import nn, optim


class Pair:
    """The same model and step twice: once eager, once compiled."""

    def __init__(self, *layers, kind=optim.Adam, **options):
        minipar.manual_seed(0)
        self.models = [nn.Sequential(*(layers or (nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2))))]
        self.models.append(copy.deepcopy(self.models[0]))
        self.optimizers = [kind(m.parameters(), **options) for m in self.models]
        self.eager, self.compiled = self._step(0), minipar.compile(self._step(1))

    def _step(self, i):
        model, optimizer = self.models[i], self.optimizers[i]

        def step(x, y, scale=1.0):
            optimizer.zero_grad()
            loss = F.mse_loss(model(x), y) * scale
            loss.backward()
            optimizer.step()
            return loss

        return step

    def check(self, *args, calls=3, **kwargs):
        for _ in range(calls):
            want, got = self.eager(*args, **kwargs), self.compiled(*args, **kwargs)
            assert want.item() == got.item()
        for a, b in zip(self.models[0].parameters(), self.models[1].parameters()):
            assert a.detach().numpy().tobytes() == b.detach().numpy().tobytes()
            assert (a.grad is None) == (b.grad is None)
            assert a.grad is None or a.grad.numpy().tobytes() == b.grad.numpy().tobytes()

    @property
    def made(self):
        return self.compiled._made


def batch(rows=5, seed=0, dtype=np.float32):
    rng = np.random.default_rng(seed)
    return minipar.from_numpy(rng.normal(size=(rows, 3)).astype(dtype)), minipar.ones(rows, 2)


def test_another_shape_is_recorded_once_more_and_both_serve():
    pair = Pair()
    for rows in (5, 3, 5, 3):
        pair.check(*batch(rows))
    assert pair.made == 2


def test_another_dtype_is_recorded_once_more():
    pair = Pair()
    pair.check(*batch())
    for model in pair.models:
        model.double()
    x, y = batch()
    pair.check(x.double(), y.double())
    assert pair.made == 2


def test_another_plain_argument_is_recorded_once_more():
    pair = Pair()
    pair.check(*batch())
    pair.check(*batch(), scale=0.5)
    pair.check(*batch())
    assert pair.made == 2


def test_train_and_eval_are_two_recordings():
    pair = Pair(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))
    pair.check(*batch())
    for model in pair.models:
        model.eval()
    pair.check(*batch())
    for model in pair.models:
        model.train()
    pair.check(*batch())
    assert pair.made == 2


def test_numbers_written_into_parameters_are_seen_without_a_new_recording():
    pair = Pair()
    pair.check(*batch())
    with minipar.no_grad():
        for model in pair.models:
            model[0].weight.fill_(0.25)
            model[2].bias.data = minipar.tensor([3.0, -1.0])
    pair.check(*batch())
    assert pair.made == 1


def test_a_parameter_with_other_memory_is_recorded_once_more():
    pair = Pair()
    pair.check(*batch())
    kept = []
    for model in pair.models:
        kept.append(model[0].weight.data)  # who looks at the old numbers keeps them: the new ones lie elsewhere
        model[0].weight.data = minipar.ones(4, 3)
    pair.check(*batch())
    assert pair.made == 2


def test_a_layer_put_in_the_place_of_another_is_seen():
    pair = Pair(kind=optim.SGD, lr=0.1)
    pair.check(*batch())
    for model in pair.models:
        minipar.manual_seed(4)
        model[1] = nn.Tanh()
    pair.check(*batch())
    assert pair.made == 2


def test_a_parameter_frozen_later_is_seen():
    pair = Pair(kind=optim.SGD, lr=0.1)
    pair.check(*batch())
    for model in pair.models:
        model[0].bias.requires_grad_(False)
    pair.check(*batch())
    assert pair.made == 2


def test_a_hook_registered_later_is_called():
    pair = Pair()
    pair.check(*batch())
    seen = []
    for model in pair.models:
        model[0].register_forward_hook(lambda *_: seen.append(1))
    pair.check(*batch(), calls=1)
    assert len(seen) == 2


def test_kernels_and_threads_are_part_of_the_key():
    pair = Pair()
    pair.check(*batch())
    with minipar.use_kernels("reference"):
        pair.check(*batch())
    assert pair.made == 2
    before = minipar.get_num_threads()
    minipar.set_num_threads(1 if before > 1 else 2)
    try:
        pair.check(*batch())
    finally:
        minipar.set_num_threads(before)
    assert pair.made == 3


def test_a_learning_rate_changed_outside_is_honoured():
    pair = Pair(kind=optim.SGD, lr=0.1, momentum=0.9)
    pair.check(*batch())
    for optimizer in pair.optimizers:
        optimizer.param_groups[0]["lr"] = 0.01
    pair.check(*batch())
    assert pair.made == 1


def test_a_gradient_that_somebody_keeps_stays_as_it_is():
    pair = Pair()
    pair.check(*batch())
    kept = pair.models[1][0].weight.grad
    before = kept.numpy().copy()
    pair.check(*batch(seed=5))
    assert (kept.numpy() == before).all()
    del kept
    pair.check(*batch(seed=6))


def test_gradients_set_to_none_outside_come_again():
    pair = Pair()
    pair.check(*batch())
    for model in pair.models:
        model.zero_grad()
    pair.check(*batch())
    assert pair.made == 1


def test_gradients_add_up_over_calls_as_in_eager():
    minipar.manual_seed(0)
    models = [nn.Linear(3, 2)]
    models.append(copy.deepcopy(models[0]))
    for model in models:
        optim.SGD(model.parameters())  # puts them into a flat buffer

    def made(model):
        def step(x, y):
            loss = F.mse_loss(model(x), y)
            loss.backward()
            return loss

        return step

    eager, compiled = made(models[0]), minipar.compile(made(models[1]))
    for i in range(9):
        if i in (4, 7):
            for model in models:
                model.zero_grad()
        assert eager(*batch(seed=i)).item() == compiled(*batch(seed=i)).item()
        for a, b in zip(models[0].parameters(), models[1].parameters()):
            assert a.grad.numpy().tobytes() == b.grad.numpy().tobytes()


def test_a_tensor_from_outside_is_read_anew():
    table = minipar.zeros(3)
    step = minipar.compile(lambda x: (x * table).sum())
    for i in range(5):
        table.fill_(float(i))
        assert step(minipar.ones(3)).item() == 3 * i


def test_draws_follow_the_seed_and_the_generator_of_the_thread():
    step = minipar.compile(lambda x: F.dropout(x, 0.5))
    x = minipar.ones(50)
    for seed in (1, 2, 3, 1):
        minipar.manual_seed(seed)
        got = step(x)
        minipar.manual_seed(seed)
        assert minipar.equal(got, F.dropout(x, 0.5))


def test_results_are_fresh_and_detached():
    step = minipar.compile(lambda x: {"a": x * 2, "b": [x + 1, 7]})
    x = minipar.ones(2)
    first = [step(x * i) for i in range(4)]
    assert [result["a"].tolist() for result in first] == [[2.0 * i] * 2 for i in range(4)]
    assert first[3]["b"][1] == 7
    assert first[3]["a"].is_leaf
    assert not first[3]["a"].requires_grad


def test_recordings_are_few():
    step = minipar.compile(lambda x: x * 2)
    for rows in range(1, 20):
        for _ in range(2):
            step(minipar.ones(rows))
    assert step._made == 19
    assert sum(map(len, step._recordings.values())) == 8
    for _ in range(3):
        assert step(minipar.ones(2)).tolist() == [2.0, 2.0]


def test_an_error_in_a_replay_leaves_no_half_written_gradient_and_no_step():
    pair = Pair(kind=optim.SGD, lr=0.1)
    classes = minipar.tensor([0, 1, 1, 0, 1])
    model, optimizer = pair.models[1], pair.optimizers[1]

    @minipar.compile
    def step(x, y):
        optimizer.zero_grad()
        loss = F.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(3):
        step(batch()[0], classes)
    before = [p.detach().numpy().copy() for p in model.parameters()]
    with pytest.raises(IndexError, match="class numbers"):
        step(batch()[0], minipar.tensor([0, 1, 2, 0, 1]))
    assert all((p.detach().numpy() == old).all() for p, old in zip(model.parameters(), before))
    assert all(p.grad is None for p in model.parameters())
    assert np.isfinite(step(batch()[0], classes).item())


def test_a_module_is_replayed_forward():
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5)).eval()
    compiled = minipar.compile(model)
    with minipar.no_grad():
        for i in range(4):
            assert minipar.equal(compiled(batch(seed=i)[0]), model(batch(seed=i)[0]))
    with pytest.raises(NotImplementedError, match="compile the whole step"):
        compiled(batch()[0])


def test_inside_of_another_compiled_step_it_is_a_part_of_it():
    double = minipar.compile(lambda x: x * 2)
    outer = minipar.compile(lambda x: double(x) + 1)
    assert [outer(minipar.full((1,), float(i))).item() for i in range(4)] == [1, 3, 5, 7]


def test_methods_keep_their_name_and_doc():
    def train(x):
        """Doc."""
        return x

    step = minipar.compile(train)
    assert step.__name__ == "train"
    assert step.__doc__ == "Doc."


def test_threads_take_turns():
    from concurrent.futures import ThreadPoolExecutor

    weight = minipar.ones(300, 300)
    step = minipar.compile(lambda x: (x @ weight).relu().sum(1))
    with minipar.no_grad():
        for _ in range(2):
            step(minipar.ones(5, 300))

    def one(i):
        return step(minipar.full((5, 300), float(i))).tolist() == [90000.0 * i] * 5

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(one, range(40)))


def test_what_a_served_call_was_is_not_taken_for_granted_in_the_next():
    """The quick look at a call sees types, grad mode, the default dtype, and tensors that require grad."""

    @minipar.compile
    def step(x, flag):
        return x * 2 if flag is True else minipar.zeros(1)

    x = minipar.ones(3)
    for _ in range(4):
        assert step(x, True).tolist() == [2, 2, 2]
    assert step._latest.replays == 2
    assert step(x, 1).tolist() == [0]  # 1 == True
    with minipar.no_grad():
        assert step(x, True).tolist() == [2, 2, 2]
    assert step(minipar.ones(2), True).tolist() == [2, 2]
    minipar.set_default_dtype(minipar.float64)
    try:
        assert [step(x, 1).dtype for _ in range(3)] == [minipar.float64] * 3
    finally:
        minipar.set_default_dtype(minipar.float32)
    assert step(x, True).tolist() == [2, 2, 2]
    with pytest.raises(NotImplementedError, match="requires grad"):
        step(minipar.ones(3, requires_grad=True), True)
    with pytest.raises(TypeError, match="missing 1 required"):
        step(x)
