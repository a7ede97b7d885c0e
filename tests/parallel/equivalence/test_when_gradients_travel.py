"""That gradients travel while backward still runs is seen in the timeline of a training step."""

from __future__ import annotations

import pytest

from minipar import nn, parallel
from minipar.parallel.gradients import GradientExchange
from tests.parallel.equivalence.recorded_steps import Meeting, on_threads, recorded, spans

WIDTH, LAYERS = 32, 4
LAYER = 8 * (WIDTH * WIDTH + WIDTH)  # bytes of its parameters, in float64
LITTLE = 8 * WIDTH  # bytes: the loss, and who has used what, take less, and every parameter as many or more
BATCH = (13, WIDTH)


def with_meetings() -> nn.Module:
    layers = [kind() for _ in range(LAYERS) for kind in (lambda: nn.Linear(WIDTH, WIDTH), nn.Tanh, Meeting)]
    return nn.Sequential(*layers).double()


def travels_in_backward(recording):
    """Of each layer, from the last to the first: do its gradients leave and arrive while backward runs?"""
    backward = spans(recording, "backward")[-1]  # of the last micro-batch: before, no gradient is complete
    sent = [span for span in spans(recording, "all_reduce", "reduce") if span.nbytes >= LITTLE]
    each = len(sent) // LAYERS
    inside = [backward.start_ns < span.start_ns and span.end_ns < backward.end_ns for span in sent]
    return [all(inside[i : i + each]) for i in range(0, len(sent), each)]


@pytest.mark.parametrize(
    ("backend", "options"),
    [
        ("thread", "microbatches=1"),
        ("thread", "microbatches=2"),
        ("thread", "zero=1"),
        ("thread", "zero=2,microbatches=2"),
        ("process", "microbatches=2"),
    ],
)
def test_gradients_of_later_layers_travel_while_backward_still_runs(backend, options):
    layout = f"data=2,{options}"
    ranks = parallel.launch(recorded, layout, with_meetings, BATCH, bucket=LAYER, workers=2, backend=backend)[0]
    for recording in ranks:
        assert travels_in_backward(recording) == [True, True, True, False]  # with the first layer's, backward is over


def test_gradients_that_wait_for_the_end_of_backward_are_noticed(monkeypatch):
    monkeypatch.setattr(GradientExchange, "_arrived", lambda self, p: self._arrivals.add(id(p)))
    for recording in on_threads("data=2", with_meetings, BATCH, bucket=LAYER):
        assert travels_in_backward(recording) == [False] * LAYERS
