"""Pipeline schedules: held to the closed forms, broken on purpose, and run with numbers."""

import itertools
from collections import defaultdict

import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given, settings

from minipar.parallel import launch
from minipar.parallel.pipeline import (
    SCHEDULES,
    Backward,
    BackwardInput,
    BackwardWeight,
    Forward,
    Receive,
    Schedule,
    Send,
    check,
    draw,
    make_schedule,
    simulate,
)
from minipar.parallel.pipeline.schedule import Message

CHUNKED = ("interleaved", "inference")
EVERY = [
    (name, p, m, v)
    for name, p, m in itertools.product(SCHEDULES, range(1, 9), range(1, 17))
    for v in (range(1, 5) if name in CHUNKED else [1])
    if name != "interleaved" or m % p == 0
]
SMALL = [(name, 3, 4, 1) for name in SCHEDULES if name != "interleaved"]
SMALL += [("interleaved", 2, 4, 2), ("inference", 2, 3, 2), ("zb-h1", 3, 2, 1), ("1f1b", 2, 1, 1)]
small = pytest.mark.parametrize("which", SMALL, ids=str)


def of(name):
    return [case for case in EVERY if case[0] == name]


# ── the closed forms: notes/parallel-runtime.md §6 ────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("name", SCHEDULES)
def test_all_are_right_by_the_rules(name):
    for case in of(name):
        check(make_schedule(*case))


def test_bubble_and_activations_of_the_sequential_schedule():
    for _, p, m, _ in of("sequential"):
        run = simulate(make_schedule("sequential", p, m))
        assert run.makespan == 3 * m * p
        assert run.bubble == pytest.approx(1 - 1 / p, abs=1e-12)
        assert run.peak_activations == [1] * p


@pytest.mark.parametrize("name", ["gpipe", "1f1b"])
def test_bubble_and_activations_of_gpipe_and_1f1b(name):
    for _, p, m, _ in of(name):
        run = simulate(make_schedule(name, p, m))
        assert run.makespan == 3 * (m + p - 1)
        assert run.bubble == pytest.approx((p - 1) / (m + p - 1), abs=1e-12)
        assert run.peak_activations == [m if name == "gpipe" else min(m, p - rank) for rank in range(p)]


def test_bubble_and_activations_of_the_interleaved_schedule():
    for _, p, m, v in of("interleaved"):
        run = simulate(make_schedule("interleaved", p, m, v))
        assert run.makespan == 3 * (v * m + p - 1)
        assert run.bubble == pytest.approx((p - 1) / (v * m + p - 1), abs=1e-12)
        assert run.peak_activations[0] == pytest.approx(min(m, p * (1 + (p - 1) / (p * v))))
        assert max(run.peak_activations) == run.peak_activations[0]


def test_bubble_and_activations_of_zb_h1():
    for _, p, m, _ in of("zb-h1"):
        run = simulate(make_schedule("zb-h1", p, m))
        assert run.peak_activations == [min(m, p)] * p
        if m >= p:
            assert run.makespan == 3 * m + p - 1, "a third of 1F1B's bubble"
        assert run.makespan <= simulate(make_schedule("1f1b", p, m)).makespan


def test_time_of_inference():
    for _, p, m, v in of("inference"):
        run = simulate(make_schedule("inference", p, m, v))
        assert run.makespan == (v - 1) * max(m, p) + m + p - 1
        assert run.peak_activations == [0] * p
        assert not run.schedule.trains


@given(p=st.integers(1, 6), more=st.integers(0, 6), costs=st.tuples(*[st.integers(1, 9)] * 3))
def test_bubble_time_for_any_cost_of_forward_and_backward(p, more, costs):
    m = p + more
    f, w, b = sorted(costs)[1], sorted(costs)[0], sorted(costs)[2]
    whole = f + b + w
    for name, bubble in [("gpipe", whole), ("1f1b", whole), ("zb-h1", whole - 2 * w)]:
        run = simulate(make_schedule(name, p, m), f, b, w)
        assert run.makespan == m * whole + (p - 1) * bubble, name
    run = simulate(make_schedule("interleaved", p, m * p, 2), f, b, w)
    assert run.makespan == 2 * m * p * whole + (p - 1) * whole


def test_every_stage_takes_gradients_in_the_order_of_micro_batches():
    """So that their sum has the same bits in every schedule."""
    for case in EVERY:
        taken = defaultdict(list)
        for x in itertools.chain(*make_schedule(*case).ranks):
            if isinstance(x, Backward | BackwardWeight):
                taken[x.stage].append(x.microbatch)
        assert all(order == sorted(order) for order in taken.values())


def test_a_slow_stage_and_slow_messages():
    run = simulate(make_schedule("1f1b", 2, 2), forward=[1, 5], backward_input=[1, 2], send=0.5)
    # rank 1: F0 from 1.5 to 6.5, B0 (2 + 1) to 9.5, F1 to 14.5, B1 to 17.5; rank 0: B1 from 18 to 20
    assert run.makespan == 20.0
    assert [x.end for x in run.ranks[1] if isinstance(x.instruction, Backward)] == [9.5, 17.5]
    assert run.busy == [6.0, 16.0]
    assert run.bubble == pytest.approx(1 - 22 / 40)
    waits = [x for x in run.ranks[0] if isinstance(x.instruction, Receive)]
    assert [(x.start, x.end) for x in waits] == [(2.0, 10.0), (12.0, 18.0)]


def test_a_message_takes_the_time_of_its_own_boundary():
    run = simulate(make_schedule("inference", 3, 1), send=[10, 100])
    assert run.makespan == 1 + 10 + 1 + 100 + 1


# ── the same with numbers: does the rule book agree with what happens? ────────────────────────────────────────────────

WEIGHTS = [2, 3, 5, 7, 11, 13]


class Rank:
    """Runs instructions for stages y = w·x on whole numbers; keeps what it needs, and forgets what it has used."""

    def __init__(self):
        self.kept = {}
        self.done = set()
        self.grads = defaultdict(int)
        self.outputs = {}

    def compute(self, x, stages):
        s, i = x.stage, x.microbatch
        if x in self.done:
            raise KeyError(x)
        self.done.add(x)
        if isinstance(x, Forward):
            given = self.kept.pop(("activation", s - 1, i)) if s else 17 + i
            self.kept["input", s, i] = given
            self.kept["activation", s, i] = given * WEIGHTS[s]
            if s == stages - 1:
                self.kept["gradient", stages, i] = 1 + i
                self.outputs[i] = self.kept["activation", s, i]
        elif isinstance(x, BackwardWeight):
            self.grads[s] += self.kept.pop(("to multiply", s, i))
        else:
            grad = self.kept.pop(("gradient", s + 1, i))
            self.kept["to multiply", s, i] = grad * self.kept.pop(("input", s, i))
            self.kept["gradient", s, i] = grad * WEIGHTS[s]
            if isinstance(x, Backward):
                self.grads[s] += self.kept.pop(("to multiply", s, i))


def right_results(schedule):
    """The outputs and summed gradients of one process."""
    rank, m, stages = Rank(), schedule.microbatches, range(schedule.stages)
    for i in range(m):
        for s in stages:
            rank.compute(Forward(s, i), schedule.stages)
        for s in reversed(stages) if schedule.trains else ():
            rank.compute(Backward(s, i), schedule.stages)
    return rank.outputs, dict(rank.grads)


def runs_right(schedule):
    """Take turns until nobody can go on; is everything done, every message taken, every result the right one?"""
    ranks = [Rank() for _ in schedule.ranks]
    todo = [list(order) for order in schedule.ranks]
    post = defaultdict(list)
    moved = True
    try:
        while moved:
            moved = False
            for r, order in enumerate(todo):
                while order:
                    x = order[0]
                    if isinstance(x, Send):
                        post[r, x.peer, schedule.tag(x)].append(ranks[r].kept[x.what, x.stage, x.microbatch])
                    elif isinstance(x, Receive):
                        if not post[x.peer, r, schedule.tag(x)]:
                            break
                        ranks[r].kept[x.what, x.sender, x.microbatch] = post[x.peer, r, schedule.tag(x)].pop(0)
                    else:
                        ranks[r].compute(x, schedule.stages)
                    order.pop(0)
                    moved = True
    except (KeyError, IndexError):
        return False
    outputs = {i: y for rank in ranks for i, y in rank.outputs.items()}
    grads = {s: g for rank in ranks for s, g in rank.grads.items()}
    return not any(todo) and not any(post.values()) and (outputs, grads) == right_results(schedule)


def is_right(schedule):
    try:
        check(schedule)
    except ValueError:
        return False
    return True


def changed(schedule, rank, order):
    ranks = [*schedule.ranks[:rank], tuple(order), *schedule.ranks[rank + 1 :]]
    return Schedule(schedule.name, tuple(ranks), schedule.placement, schedule.microbatches)


@small
def test_numbers_come_out_right(which):
    assert runs_right(make_schedule(*which))


@small
def test_every_instruction_that_is_left_out_is_missed(which):
    schedule = make_schedule(*which)
    for rank, order in enumerate(schedule.ranks):
        for k in range(len(order)):
            without = changed(schedule, rank, order[:k] + order[k + 1 :])
            with pytest.raises(ValueError, match=r"rank \d"):
                check(without)


@small
def test_neighbours_may_change_places_exactly_where_it_makes_no_difference(which):
    schedule = make_schedule(*which)
    verdicts = set()
    for rank, order in enumerate(schedule.ranks):
        for k in range(len(order) - 1):
            swapped = changed(schedule, rank, (*order[:k], order[k + 1], order[k], *order[k + 2 :]))
            assert is_right(swapped) == runs_right(swapped), swapped.ranks[rank][k : k + 2]
            verdicts.add(is_right(swapped))
    assert False in verdicts


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_any_change_is_noticed_exactly_where_it_makes_a_difference(data):
    schedule = make_schedule(*data.draw(st.sampled_from(SMALL)))
    rank = data.draw(st.integers(0, len(schedule.ranks) - 1))
    order = list(schedule.ranks[rank])
    a, b = (data.draw(st.integers(0, len(order) - 1)) for _ in "ab")
    how = data.draw(st.sampled_from(["move", "repeat", "shuffle", "another"]))
    if how == "move":
        order.insert(b, order.pop(a))
    elif how == "repeat":
        order.insert(b, order[a])
    elif how == "shuffle":
        order = data.draw(st.permutations(order))
    else:
        x = order[a]
        fields = {
            **vars(x),
            data.draw(st.sampled_from(sorted(vars(x).keys() - {"what"}))): data.draw(st.integers(0, 3)),
        }
        order[a] = type(x)(**fields)
    mutant = changed(schedule, rank, order)
    assert is_right(mutant) == runs_right(mutant)


@pytest.mark.parametrize("which", SMALL[:6], ids=str)
def test_ranks_that_send_for_real(which):
    """Between threads, by the tags of the schedule: nobody waits for ever, nothing arrives as something else."""
    schedule = make_schedule(*which)

    def run(comm):
        rank, under_way = Rank(), []
        for x in schedule.ranks[comm.rank]:
            if isinstance(x, Send):
                message = np.array(rank.kept[x.what, x.stage, x.microbatch])
                under_way.append(comm.isend(message, x.peer, schedule.tag(x)))
            elif isinstance(x, Receive):
                rank.kept[x.what, x.sender, x.microbatch] = comm.recv(x.peer, schedule.tag(x)).item()
            else:
                rank.compute(x, schedule.stages)
        for work in under_way:
            work.wait()
        return rank.outputs, dict(rank.grads)

    results = launch(run, workers=len(schedule.ranks), backend="thread", timeout=20)
    outputs = {i: y for some, _ in results for i, y in some.items()}
    grads = {s: g for _, some in results for s, g in some.items()}
    assert (outputs, grads) == right_results(schedule)


# ── one's own ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def v_shaped(m):
    """Two ranks, four stages: down the ranks and back up, so that rank 0 has the first stage and the last (ZB-V)."""
    stages = [[0, 3], [1, 2]]
    return Schedule.of(
        [
            [F(s, i) for i in range(m) for F in (Forward, Backward) for s in mine[:: 1 if F is Forward else -1]]
            for mine in stages
        ]
    )


def test_stages_may_lie_on_any_rank_and_neighbours_on_one_send_nothing():
    schedule = check(v_shaped(3))
    assert schedule.placement == (0, 1, 1, 0)
    assert schedule.stages_of(0) == [0, 3]
    assert runs_right(schedule)
    messages = [x for order in schedule.ranks for x in order if isinstance(x, Send)]
    assert {(x.stage, x.what) for x in messages} == {
        (0, "activation"), (2, "activation"), (3, "gradient"), (1, "gradient")
    }  # fmt: skip


def test_both_ends_of_a_message_and_nobody_else_know_its_tag():
    for case in EVERY[::7]:
        schedule = make_schedule(*case)
        ends = defaultdict(list)
        for rank, order in enumerate(schedule.ranks):
            for x in order:
                if isinstance(x, Message):
                    ends[schedule.tag(x)].append((type(x), rank, x.peer))
        for one, other in ends.values():
            assert {one[0], other[0]} == {Send, Receive}
            assert one[1:] == other[:0:-1]


@pytest.mark.parametrize(
    ("orders", "why"),
    [
        ([[Forward(0, 0), Backward(0, 0)], [Backward(1, 0), Forward(1, 0)]],
         r"rank 1, instruction 0, Backward\(stage=1, microbatch=0\): its Forward comes later"),
        ([[Forward(0, 0), Forward(0, 0)]], r"rank 0, instruction 1, Forward.*: this is done before, at 0"),
        ([[Forward(0, 0), Forward(0, 1), Backward(0, 1)]], r"rank 0, Backward\(stage=0, microbatch=0\) is missing"),
        ([[Forward(0, 0), BackwardInput(0, 0)]], r"rank 0, BackwardWeight\(stage=0, microbatch=0\) is missing"),
        ([[Forward(0, 0), BackwardWeight(0, 0), BackwardInput(0, 0)]], "1, .*its BackwardInput comes later"),
        ([[Forward(0, 0), BackwardInput(0, 0), BackwardWeight(0, 0), Backward(0, 0)]], "3, Backward.*two parts, too"),
        ([[Forward(0, 0)], [Forward(1, 0), Backward(0, 0)]], r"1, instruction 2, Backward.*: stage 0 is on rank 0"),
        ([[Forward(1, 0), Forward(0, 0)]], "rank 0, instruction 0, .*the output of stage 0 has not come yet"),
        ([[Forward(0, 0), Forward(1, 0), Backward(0, 0), Backward(1, 0)]], "gradient of stage 1 has not come yet"),
        ([[Forward(0, 0), Backward(0, 0), Forward(0, 1), Backward(0, 1)],
          [Forward(1, 0), Forward(1, 1), Backward(1, 0), Backward(1, 1)]],
         r"go on: rank 0 waits in instruction 2, Receive.*'gradient'.*; rank 1 waits in instruction 2, Receive.*'act"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_said_with_its_place(orders, why):
    with pytest.raises(ValueError, match=why):
        check(Schedule.of(orders))


def test_messages_that_go_astray_are_named():
    schedule = make_schedule("inference", 2, 1)
    ranks = schedule.ranks
    for order, why in [
        ((*ranks[0], ranks[0][1]), "rank 0, instruction 2, Send.*this has been sent before"),
        ((ranks[0][1], ranks[0][0]), "rank 0, instruction 0, Send.*it has not been computed yet"),
        ((ranks[0][0], Send(0, 0, "activation", 0)), "peer=0 is no other rank of 2"),
    ]:
        with pytest.raises(ValueError, match=why):
            check(changed(schedule, 0, order))
    elsewhere = changed(schedule, 0, (*ranks[0], Forward(2, 0)))
    with pytest.raises(ValueError, match=r"instruction 2, .*there are 2 stages and 1 micro-batches"):
        check(elsewhere)
    with pytest.raises(ValueError, match=r"rank 1, instruction 2, Send.*activation.*nobody receives this"):
        check(changed(schedule, 1, (*ranks[1], Send(1, 0, "activation", 0))))


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: make_schedule("dualpipe", 2, 4), "'dualpipe' is unknown: choose one of sequential, gpipe, 1f1b"),
        (lambda: make_schedule("gpipe", 0, 4), "ranks=0 must be at least 1"),
        (lambda: make_schedule("gpipe", 2, 0), "microbatches=0"),
        (lambda: make_schedule("interleaved", 2, 4, 0), "chunks=0"),
        (lambda: make_schedule("interleaved", 2, 3, 2), "microbatches=3 must be a multiple of the 2 ranks"),
        (lambda: make_schedule("1f1b", 2, 4, 2), "'1f1b' has one chunk a rank, not 2: choose interleaved"),
        (lambda: Schedule.of([[Forward(0, 0)], [Forward(0, 1)]]), "stage 0 runs forward on ranks 0 and 1"),
        (lambda: Schedule.of([[Forward(0, 0), Forward(2, 0)]]), r"must be 0, 1, 2 and so on, not \[0, 2\]"),
        (lambda: Schedule.of([[Forward(0, 0), Backward(5, 0)]]), "stage=5.*no rank runs this stage forward"),
        (lambda: Schedule.of([[]]), r"not \[\]"),
        (lambda: simulate(make_schedule("gpipe", 2, 4), forward=[1, 2, 3]), "forward has 3 numbers.* one or 2"),
        (lambda: simulate(make_schedule("gpipe", 2, 4), send=[1, 2]), "send has 2 numbers.* one or 1"),
        (lambda: simulate(make_schedule("gpipe", 2, 4), backward_weight=-1), "backward_weight=-1 must not be negative"),
        (lambda: draw(make_schedule("gpipe", 2, 4), slot=0), "slot=0 must be positive"),
    ],
)
def test_bad_arguments_are_refused_by_name(make, why):
    with pytest.raises(ValueError, match=why):
        make()


# ── the picture ───────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_picture_shows_what_is_simulated():
    assert str(make_schedule("zb-h1", 2, 3)).splitlines() == [
        "rank 0  F0 F1 .  B0 W0 F2 B1 W1 B2 W2",
        "rank 1  .  F0 B0 F1 B1 W0 F2 B2 W1 W2",
    ]
    assert draw(make_schedule("inference", 2, 2), forward=[1, 2], send=0.5, slot=0.5).splitlines() == [
        "rank 0  F0 F0 F1 F1 .  .  .  .  .  .  .",
        "rank 1  .  .  .  F0 F0 F0 F0 F1 F1 F1 F1",
    ]


def test_a_picture_has_a_column_a_slot():
    for case in EVERY[::11]:
        schedule = make_schedule(*case)
        makespan = simulate(schedule).makespan
        for row in str(schedule).splitlines():
            assert len(row.split()) - 2 == makespan
