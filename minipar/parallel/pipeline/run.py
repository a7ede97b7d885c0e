"""Carrying out a schedule: one rank plays its list of instructions on one batch.

What a rank holds is kept as the schedule's checker writes it down: (what, stage, micro-batch), where an ACTIVATION is
the output of that stage and a GRADIENT that of its input. Every micro-batch has its own place, so that nothing is
overwritten while somebody still needs it.

Random numbers are drawn as one process would: a stage is told, once a batch, how many draws the stages before it make
on their way. (Every micro-batch starts from the same number: what is drawn are rows of the same draws.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from ... import tape
from ...backend import namespace
from ...backend.device import device
from ...backend.random import default_generator, sharded_samples
from ...tensor import Tensor, wrap
from .. import timeline
from ..comm import Communicator
from ..comm.work import Work
from ..travel import to_send
from .schedule import (
    ACTIVATION,
    GRADIENT,
    Backward,
    BackwardInput,
    BackwardWeight,
    Compute,
    Forward,
    Instruction,
    Receive,
    Schedule,
    Send,
)
from .split_backward import Root, SplitBackward

Held = tuple[str, int, int]  # what, stage, micro-batch
_PARTS: dict[type, str] = {BackwardInput: ", input", BackwardWeight: ", weights"}


class Run:
    """One batch through the stages that this rank has, `stages[s]`, by what `schedule` says for this rank of `comm`.

    `inputs[i]` is the input of micro-batch i (used by who has the first stage), `samples[i]` = (start, count, total)
    says which samples of the whole batch it holds. Who has the last stage calls `finish(i, output)`, which returns what
    backward is to start from (None if there is none), and `slope(i)` when it does: the gradient there.

    `place` is the device on which this rank computes, that of `comm` unless given.
    """

    def __init__(
        self,
        schedule: Schedule,
        comm: Communicator,
        stages: Mapping[int, Callable[[Tensor], Tensor]],
        inputs: Sequence[Any],
        samples: Sequence[tuple[int, int, int]],
        finish: Callable[[int, Any], Tensor | None],
        slope: Callable[[int], float] | None = None,
        place: device | None = None,
    ) -> None:
        self.schedule, self.comm, self.stages = schedule, comm, stages
        self.place = comm.device if place is None else place
        self.inputs, self.samples, self.finish, self.slope = inputs, samples, finish, slope
        self.held: dict[Held, tuple[Any, int]] = {}  # an array, and how many draws had been made
        self.kept: dict[tuple[int, int], tuple[Any, Any]] = {}  # of a stage and micro-batch: input, root of backward
        self.late: dict[tuple[int, int], SplitBackward] = {}  # of which gradients of weights are still to come
        self.told: dict[int, int] = {}  # by stage: the draws that had been made behind it, as told between ranks
        self.sent: list[Work] = []  # messages that are under way
        self.most_kept = 0  # inputs and outputs at once: as many activations as `simulate` says
        self.seconds = 0.0  # of work, without waiting for others
        self.draws = default_generator().get_state()[1]  # that had been made before this batch
        self.last_draw = self.draws

    def carry_out(self) -> Run:
        """Play the list to its end, and wait until all that was sent has left. Returns this run."""
        play: dict[type, Callable[[Any], None]] = {
            Forward: self._forward,
            Backward: self._backward,
            BackwardInput: self._backward_input,
            BackwardWeight: self._backward_weight,
            Send: self._send,
            Receive: self._receive,
        }
        for instruction in self.schedule.ranks[self.comm.rank]:
            play[type(instruction)](instruction)
        for work in self.sent:
            work.wait()
        return self

    def _forward(self, x: Forward) -> None:
        stage, i = x.stage, x.microbatch
        entered, draws = self.inputs[i], self.draws
        if stage:
            array, draws = self.held.pop((ACTIVATION, stage - 1, i))
            entered = wrap(array).requires_grad_(self.schedule.trains and array.dtype.kind == "f")
        generator = default_generator()
        generator.set_state((generator.get_state()[0], draws))
        with _AtWork(self, x):
            made: Any = self.stages[stage](entered)
            if stage == self.schedule.stages - 1:
                made = self.finish(i, made)
        draws = generator.get_state()[1]
        self.last_draw = max(self.last_draw, draws)
        if stage < self.schedule.stages - 1:
            self.held[ACTIVATION, stage, i] = made.array, draws
            made = Root(made.edge())  # what backward does not need of the output goes when it has been sent
        if self.schedule.trains:
            self.kept[stage, i] = entered, made
            self.most_kept = max(self.most_kept, len(self.kept) + len(self.late))

    def _backward(self, x: Backward) -> None:
        entered, made = self.kept.pop((x.stage, x.microbatch))
        grad = self._gradient_of_output(x, made)
        if made is not None and grad is not None:
            with _AtWork(self, x):
                tape.run_backward([made], [grad.array])
        self._keep_gradient(x, entered, lambda: entered.grad)

    def _backward_input(self, x: BackwardInput) -> None:
        entered, made = self.kept.pop((x.stage, x.microbatch))
        grad = self._gradient_of_output(x, made)
        if made is None or grad is None:
            self._keep_gradient(x, entered, lambda: None)
            return
        with _AtWork(self, x):
            late = self.late[x.stage, x.microbatch] = SplitBackward([(made, grad)])
            self._keep_gradient(x, entered, lambda: late.inputs([entered])[0])

    def _backward_weight(self, x: BackwardWeight) -> None:
        late = self.late.pop((x.stage, x.microbatch), None)
        if late is not None:
            with _AtWork(self, x):
                late.weights()

    def _gradient_of_output(self, x: Instruction, made: Any) -> Tensor | None:
        """What backward of this stage starts with; None if it has nothing to do."""
        if x.stage == self.schedule.stages - 1:
            assert self.slope is not None
            slope = self.slope(x.microbatch)
            if made is None or not made.tracked:
                return None
            grad = namespace(made.array).empty_like(made.array)
            grad.fill(slope)
            return wrap(grad)
        array, _ = self.held.pop((GRADIENT, x.stage + 1, x.microbatch))
        return None if made.edge() is None else wrap(array)

    def _keep_gradient(self, x: Instruction, entered: Any, gradient: Callable[[], Tensor | None]) -> None:
        """Put the gradient of the stage's input where the stage before, or a message to it, finds it."""
        if x.stage:
            grad = gradient() if entered.tracked else None
            array = namespace(entered.array).zeros_like(entered.array) if grad is None else grad.array
            self.held[GRADIENT, x.stage, x.microbatch] = array, 0

    def _send(self, x: Send) -> None:
        array, draws = self.held.pop((x.what, x.stage, x.microbatch))
        if x.what == ACTIVATION:
            self._tell_draws(x, draws)
        self.sent.append(self.comm.isend(to_send(array, self.comm), x.peer, self.schedule.tag(x)))

    def _receive(self, x: Receive) -> None:
        if x.what == ACTIVATION and x.sender not in self.told:
            self.told[x.sender] = int(self.comm.recv(x.peer, self.schedule.tag_of_draws(x.sender)))
        array = self.comm.recv(x.peer, self.schedule.tag(x))
        self.held[x.what, x.sender, x.microbatch] = self._on_device(array), self.told.get(x.sender, 0)

    def _tell_draws(self, x: Send, draws: int) -> None:
        if x.stage not in self.told:
            self.told[x.stage] = draws
            self.sent.append(self.comm.isend(np.array(draws), x.peer, self.schedule.tag_of_draws(x.stage)))
        elif draws != self.told[x.stage] and self.samples[x.microbatch][1]:
            raise RuntimeError(
                f"the stages up to {x.stage} have drawn random numbers {draws - self.draws} times on micro-batch "
                f"{x.microbatch} and {self.told[x.stage] - self.draws} times on another: they must draw as often on "
                "all, or the next stages cannot draw as one process would"
            )

    def _on_device(self, array: Any) -> Any:
        """Messages come in host memory, or over NCCL to the communicator's GPU; the rank may compute elsewhere."""
        return wrap(array).to(self.place).array

    def wait_for_device(self) -> None:
        """A GPU is told what to do, and does it later: until then its seconds are not over."""
        if self.place.type == "cuda":
            import cupy

            cupy.cuda.Device(self.place.index).synchronize()


def span_name(x: Compute) -> str:
    """What a timeline calls it.

    >>> span_name(BackwardInput(stage=2, microbatch=7))
    'backward 7, input'
    """
    direction = "forward" if isinstance(x, Forward) else "backward"
    return f"{direction} {x.microbatch}{_PARTS.get(type(x), '')}"


class _AtWork:
    """Inside, a run does `x`: what is drawn is drawn for the samples of its micro-batch, and the time counts."""

    __slots__ = ("_run", "_samples", "_span", "_start")

    def __init__(self, run: Run, x: Compute) -> None:
        self._run, self._samples = run, sharded_samples(*run.samples[x.microbatch])
        self._span = timeline.span(span_name(x))

    def __enter__(self) -> None:
        self._start = perf_counter()
        self._samples.__enter__()
        self._span.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._run.wait_for_device()
        self._span.__exit__(*error)
        self._samples.__exit__(*error)
        self._run.seconds += perf_counter() - self._start
