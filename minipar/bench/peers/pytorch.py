"""PyTorch: eager with default settings, with its fused optimizer, compiled (and fused), and channels-last."""

from __future__ import annotations

from typing import Any

import torch

from ..contenders import THREADS, Prepared
from ..workloads import WORKLOADS, Step, Training, build, ordinary_step
from ..workloads import prepare as parts


def prepare(workload: str, form: str) -> Prepared:
    torch.set_num_threads(THREADS)
    return Prepared(_FORMS[form](workload), torch.__version__, str(torch.get_num_threads()))


def _eager(workload: str) -> Step:
    return build(torch, workload)


def _fused(workload: str) -> Step:
    return ordinary_step(parts(torch, WORKLOADS[workload], fused=True))


def _channels_last(workload: str) -> Step:
    """Model and images in the layout that oneDNN's convolutions like best."""
    training = parts(torch, WORKLOADS[workload])
    model = training.model.to(memory_format=torch.channels_last)
    x = training.x.to(memory_format=torch.channels_last)
    return ordinary_step(Training(model, training.loss_function, training.optimizer, x, training.y))


def _compiled(workload: str) -> Step:
    """Model, loss and so their backward compiled as one; the update is one fused call already."""
    training = parts(torch, WORKLOADS[workload], fused=True)
    model, loss_function, optimizer = training.model, training.loss_function, training.optimizer
    forward = torch.compile(lambda x, y: loss_function(model(x), y))

    def step() -> Any:
        optimizer.zero_grad()
        loss = forward(training.x, training.y)
        loss.backward()
        optimizer.step()
        return loss

    return step


_FORMS = {"torch": _eager, "torch-fused": _fused, "torch-compile": _compiled, "torch-channels-last": _channels_last}
