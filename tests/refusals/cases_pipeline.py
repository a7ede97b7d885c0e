"""Bad inputs: pipeline schedules, and cuts of models."""

from __future__ import annotations

from tests.refusals.cases_completeness import row


def schedule(m, name="gpipe", ranks=2, microbatches=2):
    return m.parallel.pipeline.make_schedule(name, ranks, microbatches)


def backward_first(m):
    pipeline = m.parallel.pipeline
    return pipeline.Schedule.of([[pipeline.Backward(0, 0), pipeline.Forward(0, 0)]])


def of(name, call, *says, error=ValueError):
    return row(f"parallel.pipeline.{name}", lambda m: call(m.parallel.pipeline, m), *says, error=error)


PIPELINES = [
    of("make_schedule", lambda p, m: p.make_schedule("x", 2, 2), "'x'", "gpipe"),
    of("make_schedule", lambda p, m: p.make_schedule("gpipe", 2, 0), "microbatches=0", "at least 1"),
    of("make_schedule", lambda p, m: p.make_schedule("1f1b", 2, 2, 2), "one chunk a rank, not 2", "interleaved"),
    of("make_schedule", lambda p, m: p.make_schedule("interleaved", 2, 3, 2), "microbatches=3", "multiple of the 2"),
    of("Schedule", lambda p, m: p.Schedule.of([[p.Forward(1, 0)]]), r"0, 1, 2 and so on, not \[1\]"),
    of("check", lambda p, m: p.check(backward_first(m)), "rank 0, instruction 0, Backward", "Forward comes later"),
    of("simulate", lambda p, m: p.simulate(schedule(m), forward=[1.0]), "forward has 1 numbers", "one or 2"),
    of("simulate", lambda p, m: p.simulate(schedule(m), send=-1), "send=-1", "not be negative"),
    of("draw", lambda p, m: p.draw(schedule(m), slot=0), "slot=0", "positive"),
    of("lay_over", lambda p, m: p.lay_over(schedule(m), [[], [], []]), "3 recordings", "2 ranks"),
    of("lay_over", lambda p, m: p.lay_over(schedule(m), [[], []]), "rank 0", "nothing, where", "forward 0", "one"),
    of("lay_over", lambda p, m: p.lay_over(schedule(m), [3]), "a list of recordings", "not int", error=TypeError),
    of("cut", lambda p, m: p.cut([1, 2], 3), "2 layers", "stages=3"),
    of("layers", lambda p, m: p.layers(m.nn.ReLU()), "Sequential", "not ReLU", error=TypeError),
    of("stages_of_model", lambda p, m: p.stages_of_model(m.nn.Sequential(m.nn.ReLU()), 2, [1]), r"cut=\[1\]", "1 to 0"),
    of(
        "measured_cut",
        lambda p, m: p.measured_cut(m.nn.ReLU(), m.ones(1), 1, "all"),
        "comm",
        "not str",
        error=TypeError,
    ),
    of("measure", lambda p, m: p.measure(m.nn.Sequential(m.nn.ReLU()), m.ones(1), repeats=0), "repeats=0", "1"),
]
