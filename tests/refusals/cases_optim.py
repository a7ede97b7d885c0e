"""Bad input to the optimizers, their schedules and nn.utils."""

from __future__ import annotations

from typing import Any

from tests.refusals.refusal import Refusal

OPTIMIZERS = (
    "SGD",
    "Adam",
    "AdamW",
    "RMSprop",
    "Adagrad",
    "Adadelta",
    "Adamax",
    "NAdam",
    "RAdam",
    "Rprop",
    "ASGD",
    "LBFGS",
)
HAVE_FOREACH = [name for name in OPTIMIZERS if name != "LBFGS"]


def parameter(m: Any) -> Any:
    return m.nn.Parameter(m.ones(2))


def sgd(m: Any) -> Any:
    return m.optim.SGD([parameter(m)], lr=0.1)


def schedule(name: str, *arguments: Any, **options: Any) -> Any:
    """A call that makes this schedule of a small optimizer."""
    return lambda m: getattr(m.optim.lr_scheduler, name)(sgd(m), *arguments, **options)


def row(of: str, why: str, call: Any, error: type[BaseException], *says: str) -> Refusal:
    return Refusal(of, why, call, error, says)


def of_all() -> list[Refusal]:
    rows = []
    for name in OPTIMIZERS:
        of = f"optim.{name}"

        def make(m: Any, params: Any, name: str = name, **options: Any) -> Any:
            return getattr(m.optim, name)(params, **options)

        rows += [
            row(
                of,
                "lr",
                lambda m, make=make: make(m, [parameter(m)], lr=-1),
                ValueError,
                "learning rate: -1",
                "least 0",
            ),
            row(
                of, "a tensor", lambda m, make=make: make(m, parameter(m)), TypeError, "params", "Tensor", r"pass \[p\]"
            ),
            row(of, "empty", lambda m, make=make: make(m, []), ValueError, "empty parameter list"),
            row(of, "text", lambda m, make=make: make(m, [parameter(m)], lr="0.1"), TypeError, "lr", "number", "'0.1'"),
            row(
                of,
                "a model",
                lambda m, make=make: make(m, m.nn.Linear(2, 2)),
                TypeError,
                "params",
                "not Linear",
                r"pass model\.parameters\(\)",
            ),
            row(of, "result", lambda m, make=make: make(m, [parameter(m) * 2]), ValueError, "non-leaf", "detach"),
        ]
        if name in HAVE_FOREACH:
            rows.append(
                row(
                    of,
                    "foreach",
                    lambda m, make=make: make(m, [parameter(m)], foreach=True),
                    NotImplementedError,
                    "foreach=True",
                )
            )
    return rows


def option(name: str, value: Any, says: str, of: str) -> Refusal:
    def call(m: Any) -> Any:
        return getattr(m.optim, of)([parameter(m)], **{name: value})

    return row(f"optim.{of}", name, call, ValueError, says, str(value).strip("()").split(",")[0])


def added(m: Any, group: Any) -> None:
    sgd(m).add_param_group(group)


def of_a_share(of: str, call: Any, *says: str) -> Refusal:
    """Given what a rank holds of a model that is split; `call` gets minipar and the split model."""

    def on_a_rank(comm: Any, m: Any) -> Any:
        layers = m.nn.Sequential(m.nn.Linear(2, 2), m.nn.Linear(2, 2))
        net = m.parallel.parallelize(layers, m.parallel.Mesh(comm, pipeline=2))
        net.loss_and_gradients(m.nn.functional.mse_loss, m.ones(3, 2), m.ones(3, 2))
        try:
            return call(m, net)
        except ValueError as error:
            return error

    def on_ranks(m: Any) -> None:
        raise m.parallel.launch(on_a_rank, m, workers=2, backend="thread")[0]

    return row(of, "a share of a split model", on_ranks, ValueError, "split by pipeline=2", *says)


SHARES = [
    of_a_share(
        "optim.LBFGS", lambda m, net: m.optim.LBFGS(net.parameters()), "LBFGS", "data and space", "without zero"
    ),
    of_a_share(
        "nn.utils.clip_grad_norm_",
        lambda m, net: m.nn.utils.clip_grad_norm_(net.parameters(), 1.0),
        r"call net\.clip_grad_norm_\(max_norm\)",
    ),
    of_a_share(
        "nn.utils.get_total_norm",
        lambda m, net: m.nn.utils.get_total_norm([p.grad for p in net.parameters()]),
        r"call net\.clip_grad_norm_\(max_norm\)",
    ),
    of_a_share(
        "nn.utils.parameters_to_vector",
        lambda m, net: m.nn.utils.parameters_to_vector(net.parameters()),
        r"net\.state_dict\(\)",
    ),
    of_a_share(
        "nn.utils.vector_to_parameters",
        lambda m, net: m.nn.utils.vector_to_parameters(m.ones(12), net.parameters()),
        r"net\.load_state_dict",
    ),
]

REFUSALS = [
    *of_all(),
    *SHARES,
    option("betas", (1.0, 0.9), "beta parameter at index 0", "Adam"),
    option("betas", (1.5, 0.9), "beta parameter at index 0", "AdamW"),
    option("betas", (-0.5, 0.9), "beta parameter at index 0", "Adamax"),
    option("betas", (1.0, 0.9), "beta parameter at index 0", "NAdam"),
    option("betas", (1.0, 0.9), "beta parameter at index 0", "RAdam"),
    option("alpha", -1, "alpha", "RMSprop"),
    option("momentum", -1, "momentum", "SGD"),
    option("lr_decay", -1, "lr_decay", "Adagrad"),
    option("initial_accumulator_value", -1, "initial_accumulator_value", "Adagrad"),
    option("rho", 1.5, "rho", "Adadelta"),
    *[option("betas", 0.9, "two numbers", of) for of in ("Adam", "AdamW", "Adamax", "NAdam", "RAdam")],
    option("momentum_decay", -1, "momentum_decay", "NAdam"),
    option("etas", (1.5, 2.0), "eta", "Rprop"),
    option("eps", -1, "epsilon", "RMSprop"),
    option("weight_decay", -1, "weight_decay", "RAdam"),
    row(
        "optim.LBFGS",
        "line search",
        lambda m: m.optim.LBFGS([parameter(m)], line_search_fn="armijo").step(lambda: None),
        RuntimeError,
        "line_search_fn",
        "strong_wolfe",
        "armijo",
    ),
    row("optim.Optimizer", "a group", lambda m: added(m, [parameter(m)]), TypeError, "param_group", "dict", "list"),
    row("optim.Optimizer", "no params", lambda m: added(m, {"lr": 1.0}), KeyError, "'params'"),
    row("optim.Optimizer", "a number", lambda m: added(m, {"params": [3.0]}), TypeError, "Tensors", "float"),
    row("optim.Optimizer", "names", lambda m: added(m, {"params": [("p", parameter(m))]}), ValueError, "names"),
    row(
        "optim.Optimizer",
        "another state dict",
        lambda m: sgd(m).load_state_dict({"state": {}, "param_groups": []}),
        ValueError,
        "0 parameter groups",
        "this optimizer 1",
    ),
    row(
        "optim.lr_scheduler.LRScheduler",
        "no optimizer",
        lambda m: m.optim.lr_scheduler.LRScheduler(3),
        TypeError,
        "optimizer",
        "int",
    ),
    row(
        "optim.lr_scheduler.StepLR",
        "resumed",
        schedule("StepLR", 3, last_epoch=4),
        KeyError,
        "initial_lr",
        "last_epoch=4",
    ),
    row(
        "optim.lr_scheduler.MultiStepLR", "resumed", schedule("MultiStepLR", [3], last_epoch=4), KeyError, "initial_lr"
    ),
    row("optim.lr_scheduler.ExponentialLR", "resumed", schedule("ExponentialLR", 0.9, 4), KeyError, "initial_lr"),
    row("optim.lr_scheduler.PolynomialLR", "resumed", schedule("PolynomialLR", last_epoch=4), KeyError, "initial_lr"),
    row(
        "optim.lr_scheduler.CosineAnnealingLR",
        "resumed",
        schedule("CosineAnnealingLR", 9, last_epoch=4),
        KeyError,
        "initial_lr",
    ),
    row(
        "optim.lr_scheduler.LambdaLR",
        "two functions",
        schedule("LambdaLR", [abs, abs]),
        ValueError,
        "lr_lambda",
        "1 param_groups",
        "2",
    ),
    row(
        "optim.lr_scheduler.LambdaLR",
        "a number",
        schedule("LambdaLR", 0.5),
        TypeError,
        "lr_lambda",
        "function",
        "float",
    ),
    row(
        "optim.lr_scheduler.MultiplicativeLR",
        "a number",
        schedule("MultiplicativeLR", 0.5),
        TypeError,
        "lr_lambda",
        "float",
    ),
    row(
        "optim.lr_scheduler.ConstantLR",
        "factor",
        schedule("ConstantLR", 2.0),
        ValueError,
        "between 0 and 1",
        "factor=2.0",
    ),
    row(
        "optim.lr_scheduler.LinearLR",
        "start",
        schedule("LinearLR", 0.0),
        ValueError,
        "start_factor",
        "greater than 0",
        r"0\.0",
    ),
    row(
        "optim.lr_scheduler.LinearLR",
        "end",
        schedule("LinearLR", 1.0, 2.0),
        ValueError,
        "end_factor",
        "between 0 and 1",
        r"2\.0",
    ),
    row(
        "optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "T_0",
        schedule("CosineAnnealingWarmRestarts", 0),
        ValueError,
        "positive integer T_0",
        "0",
    ),
    row(
        "optim.lr_scheduler.CosineAnnealingWarmRestarts",
        "T_mult",
        schedule("CosineAnnealingWarmRestarts", 3, 0.5),
        ValueError,
        "T_mult >= 1",
        r"0\.5",
    ),
    row("optim.lr_scheduler.OneCycleLR", "no length", schedule("OneCycleLR", 1.0), ValueError, "total_steps", "epochs"),
    row(
        "optim.lr_scheduler.OneCycleLR",
        "length",
        schedule("OneCycleLR", 1.0, -3),
        ValueError,
        "positive integer total_steps",
        "-3",
    ),
    row(
        "optim.lr_scheduler.OneCycleLR",
        "share",
        schedule("OneCycleLR", 1.0, 3, pct_start=2.0),
        ValueError,
        "pct_start",
        r"2\.0",
    ),
    row(
        "optim.lr_scheduler.OneCycleLR",
        "shape",
        schedule("OneCycleLR", 1.0, 3, anneal_strategy="log"),
        ValueError,
        "anneal_strategy",
        "linear",
        "log",
    ),
    row(
        "optim.lr_scheduler.CyclicLR",
        "mode",
        schedule("CyclicLR", 0.1, 0.2, mode="saw"),
        ValueError,
        "mode 'saw'",
        "triangular",
    ),
    row(
        "optim.lr_scheduler.CyclicLR",
        "two rates",
        schedule("CyclicLR", [0.1, 0.2], 0.2),
        ValueError,
        "base_lr",
        "1 param_groups",
        "2",
    ),
    row(
        "optim.lr_scheduler.CyclicLR",
        "no momentum",
        lambda m: m.optim.lr_scheduler.CyclicLR(m.optim.Adagrad([parameter(m)]), 0.1, 0.2),
        ValueError,
        "cycle_momentum",
        "Adagrad",
    ),
    row(
        "optim.lr_scheduler.ReduceLROnPlateau",
        "mode",
        schedule("ReduceLROnPlateau", "low"),
        ValueError,
        "mode",
        "'min' or 'max'",
        "low",
    ),
    row(
        "optim.lr_scheduler.ReduceLROnPlateau",
        "factor",
        schedule("ReduceLROnPlateau", factor=1.5),
        ValueError,
        "factor",
        r"< 1\.0",
        r"1\.5",
    ),
    row(
        "optim.lr_scheduler.ReduceLROnPlateau",
        "min_lr",
        schedule("ReduceLROnPlateau", min_lr=[0.1, 0.2]),
        ValueError,
        "min_lr",
        "1 param_groups",
        "2",
    ),
    row(
        "optim.lr_scheduler.SequentialLR",
        "none",
        schedule("SequentialLR", [], []),
        ValueError,
        "at least one",
        "schedulers",
    ),
    row(
        "optim.lr_scheduler.SequentialLR",
        "no scheduler",
        schedule("SequentialLR", [3], []),
        TypeError,
        r"schedulers\[0\]",
        "int",
    ),
    row(
        "optim.lr_scheduler.ChainedScheduler",
        "none",
        lambda m: m.optim.lr_scheduler.ChainedScheduler([]),
        ValueError,
        "at least one",
    ),
    row(
        "nn.utils.clip_grad_norm_",
        "a number",
        lambda m: m.nn.utils.clip_grad_norm_(3, 1.0),
        TypeError,
        "parameters",
        "int",
    ),
    row(
        "nn.utils.clip_grad_norm_",
        "foreach",
        lambda m: m.nn.utils.clip_grad_norm_([], 1.0, foreach=True),
        NotImplementedError,
        "foreach",
    ),
    row(
        "nn.utils.clip_grad_value_",
        "numbers",
        lambda m: m.nn.utils.clip_grad_value_([3], 1.0),
        TypeError,
        "parameters",
        "int",
    ),
    row(
        "nn.utils.clip_grads_with_norm_",
        "numbers",
        lambda m: m.nn.utils.clip_grads_with_norm_([3], 1.0, m.ones(())),
        TypeError,
        "parameters",
        "int",
    ),
    row(
        "nn.utils.get_total_norm", "numbers", lambda m: m.nn.utils.get_total_norm([3.0]), TypeError, "tensors", "float"
    ),
    row(
        "nn.utils.get_total_norm",
        "no elements",
        lambda m: m.nn.utils.get_total_norm([m.zeros(0)], float("inf")),
        RuntimeError,
        "norm_type inf",
        "without elements",
    ),
    row(
        "nn.utils.vector_to_parameters",
        "a list",
        lambda m: m.nn.utils.vector_to_parameters([1.0], []),
        TypeError,
        "vec",
        "list",
    ),
    row(
        "nn.utils.vector_to_parameters",
        "too short",
        lambda m: m.nn.utils.vector_to_parameters(m.ones(1), [parameter(m)]),
        RuntimeError,
        "vec has 1",
        r"\(2,\)",
    ),
    row(
        "nn.utils.parameters_to_vector",
        "numbers",
        lambda m: m.nn.utils.parameters_to_vector([3.0]),
        TypeError,
        "parameters",
        "float",
    ),
]
