"""Bad input to Module, the containers, Bilinear and Unflatten."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def net(m):
    return m.nn.Sequential(m.nn.Linear(2, 2), m.nn.ReLU())


def hooked(layer):
    layer.register_forward_hook(lambda *_: None)
    return layer


MODULES = [
    *[
        Refusal(
            f"nn.Module.{name}",
            "the name of what is registered elsewhere",
            lambda m, name=name, given=given: getattr(m.nn.Linear(2, 2), name)("weight", given(m)),
            KeyError,
            ("already has an attribute", "weight"),
        )
        for name, given in (("register_buffer", lambda m: m.ones(2)), ("add_module", lambda m: m.nn.ReLU()))
    ],
    *[
        Refusal(
            f"nn.{name}",
            "what is no tensor",
            lambda m, name=name, sizes=sizes, given=given: getattr(m.nn, name)(*sizes)(*given),
            TypeError,
            (f"{name}: ", f"a tensor, not {kind}", "minipar.tensor"),
        )
        for name, sizes, given, kind in (
            ("Linear", (2, 2), ([1.0, 2.0],), "list"),
            ("ReLU", (), (None,), "None"),
            ("LSTM", (2, 2), ([1.0, 2.0],), "list"),
            ("MSELoss", (), (1.0, 1.0), "float"),
        )
    ],
    Refusal(
        "nn.Linear",
        "what is no tensor, of a layer with a hook",
        lambda m: hooked(m.nn.Linear(2, 2))([1.0, 2.0]),
        TypeError,
        ("Linear: input must be a tensor, not list",),
    ),
    Refusal(
        "nn.functional.bilinear",
        "another number of features",
        lambda m: m.nn.functional.bilinear(m.ones(2, 3), m.ones(2, 4), m.ones(5, 3, 3)),
        RuntimeError,
        ("input2", r"\(5, 3, 3\)", r"\(2, 4\)"),
    ),
    Refusal(
        "bilinear",
        "unequal batches",
        lambda m: m.bilinear(m.ones(2, 3), m.ones(4, 3), m.ones(5, 3, 3)),
        RuntimeError,
        ("input1", r"\(4, 3\)"),
    ),
    Refusal(
        "bilinear",
        "a weight of two axes",
        lambda m: m.bilinear(m.ones(2, 3), m.ones(2, 3), m.ones(3, 3)),
        RuntimeError,
        ("weight", r"\(3, 3\)"),
    ),
    Refusal(
        "bilinear",
        "a bias of another length",
        lambda m: m.bilinear(m.ones(2, 3), m.ones(2, 3), m.ones(5, 3, 3), m.ones(4)),
        RuntimeError,
        ("bias", r"\(5,\)", r"\(4,\)"),
    ),
    Refusal("nn.Bilinear", "no features", lambda m: m.nn.Bilinear(0, 3, 2), ValueError, ("in1_features", "0")),
    Refusal(
        "nn.Unflatten",
        "a size that is no tuple",
        lambda m: m.nn.Unflatten(1, 6),
        TypeError,
        ("unflattened_size", "int"),
    ),
    Refusal("nn.Unflatten", "a named axis", lambda m: m.nn.Unflatten("N", (2, 3)), NotImplementedError, ("dim",)),
    Refusal("nn.Sequential", "a number that is not there", lambda m: net(m)[2], IndexError, ("2", "2 modules")),
    Refusal(
        "nn.Sequential", "adding a list", lambda m: net(m).__add__([m.nn.ReLU()]), ValueError, ("Sequential", "list")
    ),
    Refusal("nn.Sequential", "times 0", lambda m: net(m) * 0, ValueError, ("positive", "0")),
    Refusal(
        "nn.Sequential", "a function as a module", lambda m: net(m).append(m.relu), TypeError, ("Module", "function")
    ),
    Refusal("nn.Sequential", "inserting too far", lambda m: net(m).insert(5, m.nn.ReLU()), IndexError, ("5",)),
    Refusal(
        "nn.ModuleList", "extending by a number", lambda m: m.nn.ModuleList().extend(3), TypeError, ("extend", "int")
    ),
    Refusal("nn.ModuleList", "a number that is not there", lambda m: m.nn.ModuleList()[0], IndexError, ("0 modules",)),
    Refusal("nn.ModuleDict", "a key with a dot", lambda m: m.nn.ModuleDict({"a.b": m.nn.ReLU()}), KeyError, ("a.b",)),
    Refusal(
        "nn.ModuleDict", "triples", lambda m: m.nn.ModuleDict([("a", m.nn.ReLU(), 1)]), ValueError, ("pair 0", "3")
    ),
    Refusal(
        "nn.ParameterList",
        "extending by a tensor",
        lambda m: m.nn.ParameterList(m.ones(3)),
        TypeError,
        ("extend", "Tensor"),
    ),
    Refusal("nn.ParameterList", "being called", lambda m: m.nn.ParameterList()(1), RuntimeError, ("cannot be called",)),
    Refusal("nn.ParameterList", "a number that is not there", lambda m: m.nn.ParameterList()[0], IndexError, ("0",)),
    Refusal(
        "nn.ParameterDict",
        "a number as key",
        lambda m: m.nn.ParameterDict([(1, m.ones(1))]),
        TypeError,
        ("string", "int"),
    ),
    Refusal("nn.ParameterDict", "being called", lambda m: m.nn.ParameterDict()(1), RuntimeError, ("cannot be called",)),
    Refusal("nn.Module", "a path to no module", lambda m: net(m).get_submodule("0.fc"), AttributeError, ("fc",)),
    Refusal("nn.Module", "a path to no buffer", lambda m: net(m).get_buffer("0.mean"), AttributeError, ("0.mean",)),
    Refusal(
        "nn.Module",
        "set_submodule without a path",
        lambda m: net(m).set_submodule("", m.nn.ReLU()),
        ValueError,
        ("target",),
    ),
    Refusal(
        "nn.Module",
        "set_submodule of a function",
        lambda m: net(m).set_submodule("1", m.relu),
        ValueError,
        ("Module", "function"),
    ),
    Refusal(
        "nn.Module",
        "set_submodule of a new name, strictly",
        lambda m: net(m).set_submodule("7", m.nn.ReLU(), strict=True),
        AttributeError,
        ("7",),
    ),
    Refusal(
        "nn.Buffer",
        "a number in its place",
        lambda m: setattr(_with_buffer(m), "mean", 1.0),
        TypeError,
        ("mean", "buffer", "float"),
    ),
]


def _with_buffer(m):
    module = m.nn.Module()
    module.mean = m.nn.Buffer(m.zeros(2))
    return module
