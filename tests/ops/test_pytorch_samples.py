"""PyTorch's own samples of its operations: empty and 0-d tensors, strides, negative axes, keywords, every dtype.

Whatever minipar has under the name must give the same values, shapes, dtypes and gradients, or refuse by name
(NotImplementedError; and integers where docs/differences.md says so).
"""

from __future__ import annotations

import pytest

from tests.ops.table import TABLE

assert TABLE  # every operation is loaded
torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
pytest.importorskip("expecttest", reason="pip install -e '.[oracle]'")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

from tests.ops.samples import (  # noqa: E402
    RANDOM,
    TIES_AS_THEY_COME,
    assert_same,
    assert_same_gradients,
    counterpart,
    flat,
    samples,
)

OPS = [op for op in op_db if counterpart(op.name) is not None]
TOLERANCE = {
    torch.float64: {"rtol": 1e-7, "atol": 1e-9},
    torch.float32: {"rtol": 5e-4, "atol": 5e-5},
    torch.int64: {"rtol": 1e-5, "atol": 1e-6},
    torch.uint8: {"rtol": 1e-5, "atol": 1e-6},
    torch.bool: {"rtol": 1e-5, "atol": 1e-6},
}

# Where PyTorch's sample cannot be compared, and why.
NOT_COMPARED = {
    "normal.in_place": "PyTorch's table calls Tensor.normal_ by the name of the function",
    "as_strided.partial_views": "PyTorch's input is a part of a larger memory; the copy that we get has its own",
    **dict.fromkeys(
        ["sum_to_size torch.bool", "sum_to_size torch.uint8"],
        "PyTorch makes int64 of a 0-d tensor, though nothing is added up",
    ),
    "cov": "float32 weights beside float64 numbers: PyTorch rounds elsewhere",
    "sgn": "PyTorch's gradient is a ZeroTensor",
    **dict.fromkeys(["svd", "linalg.svd", "linalg.eigh"], "the signs of the vectors are arbitrary"),
    **dict.fromkeys(["linalg.lstsq.grad_oriented", "linalg.pinv.singular"], "a function of the table's own"),
}


def differs(op, dtype, most: int) -> list[str]:
    """What is not the same, as text, of each sample that is not."""
    found = []
    for number, (theirs, call, leaves) in enumerate(samples(op, dtype, most)):
        try:
            ours = call()
            if any(name in op.name for name in RANDOM):
                assert [tuple(a.shape) for a in flat(ours)] == [tuple(b.shape) for b in flat(theirs)]
                continue
            if op.name in TIES_AS_THEY_COME and not dtype.is_floating_point:
                ours, theirs = flat(ours)[0].sort()[0], flat(theirs)[0].sort()[0]
                if op.name == "argsort":
                    continue
            assert_same(ours, theirs, TOLERANCE[dtype])
            assert_same_gradients(ours, theirs, leaves)
        except NotImplementedError:
            continue
        except Exception as error:
            if dtype.is_floating_point or "floating-point" not in str(error):
                found.append(f"sample {number}: {type(error).__name__}: {error}")
    return found


def compare(op, dtype, most: int) -> None:
    name = op.name + (f".{op.variant_test_name}" if op.variant_test_name else "")
    if name in NOT_COMPARED or f"{name} {dtype}" in NOT_COMPARED or dtype not in op.dtypes:
        return
    assert not (wrong := differs(op, dtype, most)), "\n".join(wrong[:5])


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.formatted_name)
def test_the_first_samples(op) -> None:
    compare(op, torch.float64, 8)
    for dtype in (torch.float32, torch.int64, torch.bool):
        compare(op, dtype, 3)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.formatted_name)
def test_every_sample(op, dtype) -> None:
    compare(op, dtype, 10_000)


def test_how_much_is_covered() -> None:
    """PyTorch's table has 636 names, a third of them complex, sparse, Fourier, Bessel and LAPACK's."""
    assert len({op.name for op in OPS}) >= 380
