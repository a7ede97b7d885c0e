"""Bad input gets an error that names the argument, what was given and what would be right."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import minipar
from tests.refusals.refusal import Refusal
from tests.refusals.table import TABLE
from tests.test_doctests import ROOMS, public


@pytest.mark.parametrize("refusal", TABLE, ids=str)
def test_is_refused_by_name(refusal: Refusal) -> None:
    with pytest.raises(refusal.error) as caught:
        refusal.call(minipar)
    assert caught.type is refusal.error, "a subclass may be an accident"
    for pattern in refusal.says:
        assert re.search(pattern, str(caught.value)), f"{pattern!r} is not said by: {caught.value}"


# ── every public name has a row ───────────────────────────────────────────────────────────────────────────────────────

TAKES_ANYTHING = {
    "": "is_tensor Size",  # a question about any object; a tuple of whatever it is given
    "nn": "Identity",
    "nn.utils.rnn": "PackedSequence",  # made by pack_padded_sequence, which looks at its input
    "data": "SequentialSampler Subset SubsetRandomSampler Series Table Text WorkerInfo default_convert",
    # tests/parallel has theirs
    "parallel": "BytesHeld Communicator DataParallel Difference ParallelModel RankState first_difference",
    "parallel.pipeline": "Backward BackwardInput BackwardWeight Forward LayerCost Receive Send Simulation Timed",
    "parallel.timeline": "Span",  # a tuple of numbers and names
    "viz": "Curve Graph Trace",
}
TAKES_NOTHING = {
    "": "enable_grad no_grad get_default_dtype get_rng_state initial_seed is_anomaly_enabled is_grad_enabled "
    "is_inference_mode_enabled seed get_num_threads get_float32_matmul_precision",
    "autograd": "detect_anomaly",
    "data": "get_worker_info",
    "cuda": "current_device device_count empty_cache initial_seed is_available manual_seed_all seed",  # as manual_seed
    "Tensor": "T bool byte char cpu cuda data_ptr detach detach_ device dim double dtype element_size float get_device "
    "grad_fn half int is_complex is_cpu is_cuda is_floating_point is_leaf is_signed itemsize long nbytes ndim nelement "
    "numel retains_grad shape short tolist type_as where zero_",  # type_as and where: Tensor.type's and where's rows
}


def named(lists: dict[str, str]) -> set[str]:
    return {f"{room}.{name}".lstrip(".") for room, names in lists.items() for name in names.split()}


def what(name: str) -> Any:
    place: Any = minipar
    for part in name.split("."):
        place = inspect.getattr_static(place, part) if isinstance(place, type) else getattr(place, part)
    return place


@pytest.mark.parametrize("room", ROOMS)
def test_every_public_name_is_refused_something(room: str) -> None:
    """Aliases count for each other, a method for the function of its name, a form in place for what it is a form of."""
    rows = {refusal.of for refusal in TABLE} | named(TAKES_ANYTHING) | named(TAKES_NOTHING)
    things = {id(what(of)) for of in rows}
    prefix = room.removeprefix("minipar").removeprefix(".")
    missing = []
    for name, thing in public(room).items():
        if isinstance(thing, type) and issubclass(thing, BaseException):
            continue
        stem = name if name in rows else name.removesuffix("_")
        spellings = {f"{prefix}.{n}".lstrip(".") for n in (name, stem, f"{stem}_")}
        spellings |= (
            {stem, f"Tensor.{stem}", f"nn.functional.{stem}"} if prefix in ("", "Tensor", "nn.functional") else set()
        )
        if id(thing) not in things and not spellings & rows:
            missing.append(name)
    assert missing == []
