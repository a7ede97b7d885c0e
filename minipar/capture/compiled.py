"""`minipar.compile`: what a call of a compiled step does.

The first call of a kind (shapes, dtypes, plain arguments, modes) runs as ever: optimizers make their state, kernels are
compiled. The second is recorded while it runs. The others are replayed, as long as what the recording rests on is so.
"""

from __future__ import annotations

import functools
import gc
import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import tape
from ..backend import random
from ..nn.module import Module
from ..tensor import Tensor, wrap
from .arguments import tensors_in, with_tensors
from .guards import conditions, same_call, settings, unkept
from .traced import active

KEPT = 8  # recordings a step; the one that served longest ago makes room
LIMIT = 64  # recordings that are made of one step in all


class CompiledStep:
    """What `minipar.compile` returns: call it as the step itself."""

    def __init__(self, step: Callable[..., Any]) -> None:
        functools.update_wrapper(self, step)
        self._step = step
        self._recordings: OrderedDict[Any, list[Recording]] = OrderedDict()
        self._made = 0
        self._latest: Recording | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        latest = self._latest
        if latest is not None and latest.serves(args, kwargs):
            return latest.replay([x.array for x in args if type(x) is Tensor])
        if active.recorder is not None:  # inside of another compiled step, whose part it is
            return self._step(*args, **kwargs)
        tensors: list[Tensor] = []
        key = self._key(args, kwargs, tensors)
        if random.holds_part_of_a_batch():
            return self._run(args, kwargs)
        recordings = self._recordings.get(key)
        if recordings is None:
            if len(self._recordings) > 10 * KEPT:  # kinds that came once
                self._recordings = OrderedDict((key, made) for key, made in self._recordings.items() if made)
            self._recordings[key] = []
            return self._run(args, kwargs)
        for recording in recordings:
            if recording.holds():
                if not recording.unkept():
                    return self._run(args, kwargs)
                Recording.clock += 1
                recording.used = Recording.clock
                self._latest = recording
                return recording.replay([x.array for x in tensors])
        if self._made == LIMIT:
            raise RuntimeError(
                f"minipar.compile: this step was recorded {LIMIT} times: what it rests on changes from call to call "
                "(a module's mode, a parameter's memory, a plain argument); call it without compile"
            )
        self._made += 1
        recording, results = record(self._step, args, kwargs, tensors)
        recordings.insert(0, recording)
        self._make_room()
        return results

    def _key(self, args: tuple, kwargs: dict[str, Any], tensors: list[Tensor]) -> Any:
        given = tensors_in(args, tensors), tensors_in(kwargs, tensors) if kwargs else None
        for x in tensors:
            if x.tracked:
                raise NotImplementedError(
                    "minipar.compile: an argument that requires grad is not supported; inside of the step, take "
                    "x = x.detach().requires_grad_() and return x.grad"
                )
            if not isinstance(x.array, np.ndarray):
                raise NotImplementedError(f"minipar.compile: only tensors on the CPU are supported, not {x.device}")
        if isinstance(self._step, Module) and tape.mode.grad and any(p.tracked for p in self._step.parameters()):
            raise NotImplementedError(
                "minipar.compile of a Module works under no_grad; to train, compile the whole step (zero_grad, "
                "forward, loss, backward, optimizer.step)"
            )
        return given, settings()

    def _run(self, args: tuple, kwargs: dict[str, Any]) -> Any:
        return with_tensors(self._step(*args, **kwargs), lambda x: wrap(x.array.copy()))

    def _make_room(self) -> None:
        kept = [(key, recording) for key, recordings in self._recordings.items() for recording in recordings]
        if len(kept) > KEPT:
            key, oldest = min(kept, key=lambda pair: (pair[1] is self._latest, pair[1].used))
            self._recordings[key].remove(oldest)
            if self._latest is oldest:
                self._latest = None


class Recording:
    """One recorded run of a step."""

    clock = 0

    def __init__(
        self,
        serves: Callable[[tuple, dict], bool],
        holds: Callable[[], bool],
        unkept: Callable[[], bool],
        run: Callable[..., Any],
    ) -> None:
        self.serves = serves  # is it such a call, and does all else hold? It may say False where it would take long
        self.holds, self.unkept, self.run = holds, unkept, run
        self.quiet = True  # do gradients come from kernels alone, which never warn of infinities?
        self.used = self.replays = 0
        self.alone = threading.RLock()  # all replays write to the same memory
        self.grads: list[Any] = []
        self.give_back: Callable[[tuple[Tensor, ...]], Any] = tuple

    def replay(self, arrays: list[np.ndarray]) -> Any:
        self.replays += 1
        with self.alone:
            try:
                if self.quiet:
                    return self.give_back(self.run(arrays))
                with np.errstate(all="ignore"):
                    return self.give_back(self.run(arrays))
            except BaseException:
                for value in self.grads:  # half-written
                    value._grad = None
                raise


def record(
    step: Callable[..., Any], args: tuple, kwargs: dict[str, Any], tensors: list[Tensor]
) -> tuple[Recording, Any]:
    """Run the step once, and note what it does. Returns the recording, and the step's results."""
    from .fusion import fuse
    from .patches import listening
    from .program import may_warn
    from .recorder import Recorder
    from .replay import replay_of
    from .source import Source

    recorder, called = Recorder(), (args, kwargs)
    if tape.mode.guard is not None:
        raise RuntimeError("minipar.compile: a step cannot be recorded under detect_anomaly; call it without compile")
    inputs = [np.copy(x.array, order="K") for x in tensors]
    with listening(recorder):
        given = [wrap(array) for array in inputs]
        for array in inputs:
            recorder.vary(array)
        places = iter(given)
        args, kwargs = with_tensors(args, lambda _: next(places)), with_tensors(kwargs, lambda _: next(places))
        results = step(*args, **kwargs)
        outputs: list[np.ndarray] = []
        template = with_tensors(results, lambda x: _Place(outputs, recorder.output(x)))
        del results, args, kwargs
        recorder.settle_grads()
        recorder.let_go()
    if recorder.kept_outside(given):
        gc.collect()
    for value in recorder.kept_outside(given):
        shape = tuple(value.array.shape)
        raise RuntimeError(
            f"minipar.compile: the step keeps a tensor of shape {shape} beyond its end (in an attribute, "
            "a list or a global), which a replay would not renew: return it from the step instead"
        )
    program = fuse(recorder.program, recorder.candidates, outputs)
    sources = Source(), Source(), Source()
    holds = sources[0].all_of(conditions(recorder, sources[0]))
    free = sources[1].all_of(unkept(recorder, sources[1]))
    quickly = ["return False"] if isinstance(step, Module) and tape.mode.grad else same_call(*called, sources[2])
    serves = sources[2].all_of([*conditions(recorder, sources[2]), *unkept(recorder, sources[2])], quickly)
    quiet = not any(may_warn(step) for step in program)
    recording = Recording(serves, holds, free, replay_of(program, inputs, outputs))
    recording.quiet = quiet
    recording.grads = [value for key, value in recorder.touched.items() if key not in recorder.entries]
    recording.give_back = functools.partial(_filled, template)
    if isinstance(template, _Place):
        recording.give_back = _only
    return recording, _filled(template, tuple([wrap(array.copy()) for array in outputs]))


class _Place:
    """Stands for a tensor in the results."""

    def __init__(self, outputs: list[np.ndarray], array: np.ndarray) -> None:
        self.index = len(outputs)
        outputs.append(array)


def _only(results: tuple[Tensor, ...]) -> Tensor:
    return results[0]


def _filled(template: Any, results: tuple[Tensor, ...]) -> Any:
    """The template with the tensors in their places."""
    kind = type(template)
    if kind is _Place:
        return results[template.index]
    if kind is tuple or kind is list:
        return kind([_filled(part, results) for part in template])
    if isinstance(template, tuple) and hasattr(template, "_fields"):
        return kind(*[_filled(part, results) for part in template])
    if kind is dict:
        return {name: _filled(part, results) for name, part in template.items()}
    return template
