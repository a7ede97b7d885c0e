"""What is asked for, renamed and forgiven around a state dict: hooks and extra state, beside PyTorch."""

import pytest

import minipar
from minipar import nn

torch = pytest.importorskip("torch", reason="pip install -e '.[oracle]'")
BOTH = (minipar, torch)


def same(function):
    ours, theirs = [function(T) for T in BOTH]
    assert ours == theirs
    return ours


def counter(T):
    class Counter(T.nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = T.nn.Linear(2, 1)
            self.seen = 0

        def get_extra_state(self):
            return {"seen": self.seen}

        def set_extra_state(self, state):
            self.seen = state["seen"]

    return Counter()


def test_extra_state_goes_round():
    def round_trip(T):
        net, other = T.nn.Sequential(counter(T)), T.nn.Sequential(counter(T))
        net[0].seen = 5
        state = net.state_dict()
        keys = other.load_state_dict(state)
        state.pop("0._extra_state")
        return list(net.state_dict()), other[0].seen, tuple(keys), tuple(other.load_state_dict(state, strict=False))

    assert same(round_trip)[1] == 5


def test_extra_state_that_is_missing_or_not_expected_is_refused():
    for net, state in (
        (counter(minipar), nn.ModuleDict({"fc": nn.Linear(2, 1)}).state_dict()),
        (nn.ModuleDict({"fc": nn.Linear(2, 1)}), counter(minipar).state_dict()),
    ):
        with pytest.raises(RuntimeError, match="_extra_state"):
            net.load_state_dict(state)


def test_extra_state_needs_both_halves():
    with pytest.raises(RuntimeError, match="get_extra_state"):
        nn.Linear(1, 1).get_extra_state()
    with pytest.raises(RuntimeError, match="set_extra_state"):
        nn.Linear(1, 1).set_extra_state({})


def test_hooks_are_called_in_order():
    def calls(T):
        net, log = T.nn.Sequential(T.nn.Linear(2, 1), T.nn.Sequential(T.nn.Linear(1, 1))), []
        for path, module in net.named_modules():
            module.register_state_dict_pre_hook(lambda m, prefix, keep, p=path: log.append(("pre", p, prefix, keep)))
            module.register_state_dict_post_hook(
                lambda m, state, prefix, _, p=path: log.append(("post", p, prefix, list(state)))
            )
            module.register_load_state_dict_pre_hook(
                lambda m, state, prefix, _, strict, *lists, p=path: log.append(("load", p, prefix, strict, lists))
            )
            module.register_load_state_dict_post_hook(lambda m, keys, p=path: log.append(("loaded", p, tuple(keys))))
        net.load_state_dict(net.state_dict(keep_vars=True))
        return log

    ours, theirs = [calls(T) for T in BOTH]
    ours_saved, theirs_saved = [[entry for entry in log if entry[0] in ("pre", "post")] for log in (ours, theirs)]
    assert ours_saved == theirs_saved == ours[:8]
    assert ours[8:12] == [entry for entry in theirs if entry[0] == "load"]
    assert sorted(ours[12:]) == sorted(entry for entry in theirs if entry[0] == "loaded")
    assert [path for _, path, _ in ours[12:]] == ["1.0", "1", "0", ""]  # children before their parents


def test_hooks_rename_and_forgive():
    def old_names(T):
        net = T.nn.Sequential(T.nn.Linear(2, 1), T.nn.Linear(1, 1, bias=False))

        def rename(module, state, prefix, *_):
            state[prefix + "weight"] = state.pop(prefix + "kernel")

        def forgive(module, keys):
            keys.missing_keys.clear()

        handle = net[0].register_load_state_dict_pre_hook(rename)
        net.register_load_state_dict_post_hook(forgive)
        given = {"0.kernel": T.ones(1, 2), "1.weight": T.zeros(1, 1)}
        keys = net.load_state_dict(given)
        handle.remove()
        return tuple(keys), list(given), net[0].weight.tolist(), [len(net.state_dict()), list(net.state_dict())]

    same(old_names)


def test_keys_that_a_post_hook_leaves_are_refused():
    net = nn.Linear(2, 1)
    net.register_load_state_dict_post_hook(lambda module, keys: None)
    with pytest.raises(RuntimeError, match="missing key 'bias'"):
        net.load_state_dict({"weight": minipar.ones(1, 2)})
    net.register_state_dict_post_hook(lambda module, state, *_: {})
    with pytest.raises(RuntimeError, match="return None"):
        net.state_dict()


def test_a_module_inside_may_say_what_its_state_is():
    def only_adapters(T):
        class Adapted(T.nn.Linear):
            def state_dict(self, *args, destination=None, prefix="", keep_vars=False):
                destination[prefix + "adapter"] = self.bias
                return destination

        return list(T.nn.Sequential(Adapted(1, 1), T.nn.Linear(1, 1)).state_dict())

    same(only_adapters)


def test_what_load_state_dict_answers():
    assert same(lambda T: repr(T.nn.Linear(1, 1).load_state_dict(T.nn.Linear(1, 1).state_dict()))).startswith("<All")
    answer = nn.Linear(1, 1).load_state_dict({}, strict=False)
    assert repr(answer) == "IncompatibleKeys(missing_keys=['weight', 'bias'], unexpected_keys=[])"
