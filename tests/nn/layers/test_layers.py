"""Every layer of the table beside PyTorch's of the same state_dict, in float64: names, shapes, text, outputs, buffers,
and the first and second gradients of inputs and parameters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minipar
from tests.nn.layers.layer import Layer, everything
from tests.nn.layers.table import TABLE

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")


@pytest.fixture(scope="module", autouse=True)
def _reference_kernels():
    """The compiled kernels have tests of their own; here nothing is to wait for a compiler."""
    with minipar.use_kernels("reference"):
        yield


def pair(case: Layer, train: bool):
    """Their layer, and ours with its state."""
    theirs = case.make(torch.nn).double().train(train)
    ours = case.make(minipar.nn).double().train(train)
    answer = ours.load_state_dict({k: v.numpy().copy() for k, v in theirs.state_dict().items()})
    assert answer == ([], [])
    return ours, theirs


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_the_state_dict_and_text_are_pytorchs(case: Layer) -> None:
    ours, theirs = case.make(minipar.nn), case.make(torch.nn)
    assert repr(ours) == repr(theirs)
    found = {k: (tuple(v.shape), v.dtype.name) for k, v in ours.state_dict().items()}
    expected = {k: (tuple(v.shape), str(v.dtype).removeprefix("torch.")) for k, v in theirs.state_dict().items()}
    assert list(found.items()) == list(expected.items())
    assert [n for n, _ in ours.named_parameters()] == [n for n, _ in theirs.named_parameters()]


@pytest.mark.parametrize(
    ("case", "train"), [(case, train) for case in TABLE for train in case.train], ids=lambda x: str(x)
)
@settings(max_examples=6)
@given(data=st.data())
def test_outputs_and_gradients_are_pytorchs(case: Layer, train: bool, data: st.DataObject) -> None:
    arrays = data.draw(case.draws())
    ours, theirs = pair(case, train)
    found = everything(minipar, ours, case, arrays)
    expected = everything(torch, theirs, case, arrays)
    assert found.keys() == expected.keys()
    for name, array in expected.items():
        assert (found[name].shape, found[name].dtype) == (array.shape, array.dtype), name
        np.testing.assert_allclose(found[name], array, rtol=1e-9, atol=1e-10, err_msg=name)
