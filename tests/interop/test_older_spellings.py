"""What course scripts written for older PyTorch say: the same lines run here and there, and mean the same."""

from __future__ import annotations

import copy
import importlib
import pickle
from types import ModuleType

import numpy as np
import pytest

import minipar

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
TYPES = ["Bool", "Byte", "Char", "Double", "Float", "Half", "Int", "Long", "Short"]
DATA = [[1, 0], [[1.0, 2.0]], np.array([1, 0, 1], np.int64)]


@pytest.fixture(params=[minipar, torch], ids=["minipar", "torch"])
def m(request) -> ModuleType:
    return request.param


@pytest.mark.parametrize("data", DATA, ids=["list", "nested", "array"])
@pytest.mark.parametrize("kind", TYPES)
def test_a_tensor_class_makes_tensors_of_its_type(kind, data):
    ours, theirs = (getattr(m, f"{kind}Tensor")(data) for m in (minipar, torch))
    assert ours.type() == theirs.type() == f"torch.{kind}Tensor"
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


def test_ints_are_the_size_of_a_typed_tensor(m):
    assert m.LongTensor(2, 3).shape == (2, 3)
    assert m.FloatTensor().shape == (0,)


def test_every_tensor_is_of_one_tensor_class(m):
    x = m.tensor([1.0], dtype=m.float64)
    assert [kind for kind in TYPES if isinstance(x, getattr(m, f"{kind}Tensor"))] == ["Double"]
    assert x.type(m.LongTensor).dtype == m.int64


def test_new_makes_a_tensor_of_the_same_type(m):
    x = m.zeros(1, dtype=m.int64)
    assert x.new(2, 3).shape == (2, 3)
    assert x.new([4, 5]).tolist() == [4, 5]
    assert x.new(1).dtype == m.int64


def test_a_variable_is_a_leaf_over_the_same_memory(m):
    x = m.ones(2, requires_grad=True) * 2
    leaf = m.autograd.Variable(x, requires_grad=True)
    (leaf * leaf).sum().backward()
    assert leaf.is_leaf
    assert leaf.data_ptr() == x.data_ptr()
    assert leaf.grad.tolist() == [4, 4]
    assert not m.autograd.Variable(x).requires_grad
    assert isinstance(x, m.autograd.Variable)
    assert not isinstance(3, m.autograd.Variable)


def test_a_schedule_may_derive_from_the_old_name(m):
    class Halving(m.optim.lr_scheduler._LRScheduler):
        def get_lr(self):
            return [lr / 2**self.last_epoch for lr in self.base_lrs]

    optimizer = m.optim.SGD([m.nn.Parameter(m.ones(1))], lr=1.0)
    schedule = Halving(optimizer)
    optimizer.step()
    schedule.step()
    assert schedule.get_last_lr() == [0.5]


def test_the_usual_memory_formats_may_be_named(m):
    x = m.ones(2, 3)
    assert m.zeros_like(x, memory_format=m.preserve_format).shape == (2, 3)
    assert x.T.contiguous(memory_format=m.contiguous_format).is_contiguous(memory_format=m.contiguous_format)
    assert x.clone(memory_format=m.preserve_format).to(m.float64, memory_format=m.preserve_format).dtype == m.float64


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64"])
def test_limits_are_pytorchs(dtype):
    name = "finfo" if dtype.startswith("float") else "iinfo"
    ours, theirs = (getattr(m, name)(getattr(m, dtype)) for m in (minipar, torch))
    fields = ["bits", "min", "max", "dtype"] + ["eps", "tiny", "smallest_normal", "resolution"] * (name == "finfo")
    assert [getattr(ours, field) for field in fields] == [getattr(theirs, field) for field in fields]
    if name == "finfo":  # of large integers PyTorch prints a float: max=2.14748e+09
        assert repr(ours) == repr(theirs)


def test_tensors_say_where_their_memory_is(m):
    x = m.ones(4)
    assert x.view(2, 2).data_ptr() == x.data_ptr() == x.detach().data_ptr()
    assert x[1:].data_ptr() == x.data_ptr() + x.element_size()
    assert x.clone().data_ptr() != x.data_ptr()
    assert m.ones(0).data_ptr() == 0


def test_a_script_may_ask_for_what_is_not_here_and_set_its_switches():
    from minipar.backends import cudnn

    cudnn.benchmark, cudnn.deterministic = False, True
    assert minipar.backends.cudnn is cudnn
    assert not cudnn.is_available()
    assert cudnn.version() is None
    assert not minipar.backends.mps.is_available()
    assert not minipar.backends.mps.is_built()
    assert {"enabled", "benchmark", "deterministic", "allow_tf32"} <= set(vars(torch.backends.cudnn.__class__)) | set(
        vars(torch.backends.cudnn)
    )


def test_the_graph_can_be_walked_from_a_loss(m):
    w, constant = m.ones(2, requires_grad=True), m.ones(2)
    node = (w * constant).sum().grad_fn
    ((product, first),) = node.next_functions
    (of_w, _), (of_constant, _) = product.next_functions
    assert "Sum" in node.name()
    assert "Mul" in product.name()
    assert first == 0
    assert of_constant is None
    assert of_w.variable is w
    assert of_w.next_functions == ()
    assert "AccumulateGrad" in of_w.name()


def test_constants_have_their_names(m):
    assert (m.pi, m.e, m.inf) == (np.pi, np.e, np.inf)
    assert m.nan != m.nan
    assert m.ones(2)[:, m.newaxis].shape == (2, 1)


@pytest.mark.parametrize("file", ["dataset", "dataloader", "sampler"])
def test_data_can_be_imported_from_pytorchs_files(file):
    ours, theirs = (importlib.import_module(f"{name}.utils.data.{file}") for name in ("minipar", "torch"))
    for name in ours.__all__:
        assert getattr(ours, name) is getattr(minipar.data, name)
        assert hasattr(theirs, name)


def test_a_tensor_takes_notes(m):
    x, p = m.ones(2), m.nn.Parameter(m.ones(2))
    x.g = m.zeros(2)
    p.no_decay = True
    copied = copy.deepcopy(x)
    copied.g += 1
    assert x.g.tolist() == [0, 0]
    assert copied.g.tolist() == [1, 1]
    assert pickle.loads(pickle.dumps(x)).g.tolist() == [0, 0]
    assert pickle.loads(pickle.dumps(p)).no_decay
    assert [q.no_decay for q in m.nn.ParameterList([p])] == [True]
