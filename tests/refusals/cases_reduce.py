"""Rows of the table of bad inputs: reductions, scans, norms, order, search, statistics, softmax."""

from __future__ import annotations

from tests.refusals.refusal import Refusal


def plane(m):
    return m.ones(2, 3)


def whole(m):
    return m.ones(2, 3).long()


AXIS = (r"dim must be in \[-2, 1\]", "not 5")
TAKES_AXIS = (
    "sum", "nansum", "mean", "nanmean", "prod", "all", "any", "count_nonzero", "logsumexp",
    "var", "std", "var_mean", "std_mean", "amax", "amin", "argmax", "argmin", "max", "min",
    "cumsum", "cumprod", "cummax", "cummin", "logcumsumexp", "sort", "argsort", "median",
    "nanmedian", "mode", "softmax", "log_softmax", "cosine_similarity", "unique_consecutive",
    "unique", "norm", "quantile", "nanquantile", "diff", "aminmax", "topk", "kthvalue",
)  # fmt: skip
BESIDES = {
    "cosine_similarity": lambda m: (plane(m),),
    "quantile": lambda m: (0.5,),
    "nanquantile": lambda m: (0.5,),
    "topk": lambda m: (1,),
    "kthvalue": lambda m: (1,),
}
AXES = [
    Refusal(name, "no such axis",
            lambda m, name=name: getattr(m, name)(plane(m), *BESIDES.get(name, lambda m: ())(m), dim=5),
            IndexError, AXIS)
    for name in TAKES_AXIS
]  # fmt: skip

FLOATS = [
    Refusal(name, "integers", lambda m, name=name, rest=rest: getattr(m, name)(whole(m), *rest), RuntimeError,
            (f"{says or name} needs a floating-point tensor", "int64", r"x\.float\(\)"))
    for name, rest, says in (("mean", (), ""), ("nanmean", (), ""), ("var", (), ""), ("std", (), ""),
                             ("var_mean", (), ""), ("std_mean", (), ""), ("logcumsumexp", (0,), ""), ("norm", (), ""),
                             ("softmax", (0,), ""), ("log_softmax", (0,), ""), ("histc", (), ""))
]  # fmt: skip

EMPTY = [
    Refusal(name, "an empty axis", lambda m, name=name, rest=rest: getattr(m, name)(m.ones(0, 3), *rest, dim=0),
            IndexError, (f"{name} of an empty axis", r"\(0, 3\)"))
    for name, rest in (("amax", ()), ("amin", ()), ("max", ()), ("min", ()), ("argmax", ()), ("argmin", ()),
                       ("median", ()), ("nanmedian", ()), ("mode", ()), ("kthvalue", (1,)))
]  # fmt: skip

ARGUMENTS = [
    Refusal("sum", "an axis twice", lambda m: plane(m).sum((0, -2)), RuntimeError, ("dim must name .* once", "-2")),
    Refusal("sum", "two names for the axis", lambda m: m.sum(plane(m), dim=0, axis=0), TypeError, ("axis and dim",)),
    Refusal("prod", "several axes", lambda m: m.prod(plane(m), (0, 1)), TypeError, ("prod: dim", r"\(0, 1\)")),
    Refusal("logsumexp", "no axis", lambda m: m.logsumexp(plane(m), None), TypeError, ("logsumexp: dim", "None")),
    Refusal("var", "both names", lambda m: m.var(plane(m), 0, True, correction=1), TypeError,
            ("var: unbiased and correction",)),
    Refusal("amax", "nothing", lambda m: m.amax(m.ones(0)), RuntimeError, ("amax of an empty tensor", r"\(0,\)")),
    Refusal("max", "nothing", lambda m: m.ones(0).max(), RuntimeError, ("max of an empty tensor",)),
    Refusal("aminmax", "nothing", lambda m: m.aminmax(m.ones(0)), RuntimeError, ("of an empty tensor",)),
    Refusal("argmax", "bools", lambda m: m.argmax(plane(m) > 0), RuntimeError, ("argmax is not defined for bool",)),
    Refusal("argmin", "bools", lambda m: m.argmin(plane(m) > 0), RuntimeError, ("argmin is not defined for bool",)),
    Refusal("diff", "no axis", lambda m: m.diff(m.tensor(1.0)), RuntimeError, ("diff: input", "0-d")),
    Refusal("diff", "negative n", lambda m: m.diff(plane(m), -1), RuntimeError, ("diff: n", "-1")),
    Refusal("norm", "another word", lambda m: m.norm(plane(m), "abc"), RuntimeError, ("norm: p", "'abc'")),
    Refusal("norm", "out", lambda m: m.norm(plane(m), out=plane(m)), NotImplementedError, ("out is not supported",)),
    Refusal("norm", "largest of nothing", lambda m: m.norm(m.ones(0), float("inf")), RuntimeError,
            ("inf norm of nothing", r"\(0,\)")),
    Refusal("linalg.vector_norm", "a word", lambda m: m.linalg.vector_norm(plane(m), "fro"), TypeError,
            ("ord must be a number", "'fro'")),
    Refusal("linalg.matrix_norm", "a vector", lambda m: m.linalg.matrix_norm(m.ones(3)), IndexError,
            ("dim must be in", "1 dimensions")),
    Refusal("linalg.matrix_norm", "one axis", lambda m: m.linalg.matrix_norm(plane(m), dim=(0, -2)), RuntimeError,
            ("dim must name each axis once", r"\(0, -2\)")),
    Refusal("linalg.matrix_norm", "another order", lambda m: m.linalg.matrix_norm(plane(m), 3), RuntimeError,
            ("ord must be", "3")),
    Refusal("linalg.norm", "three axes", lambda m: m.linalg.norm(m.ones(2, 2, 2), 1), RuntimeError, ("3 axes",)),
    Refusal("dist", "shapes", lambda m: m.dist(plane(m), m.ones(2)), RuntimeError, ("cannot be broadcast",)),
    Refusal("renorm", "p", lambda m: m.renorm(plane(m), 0, 0, 1.0), RuntimeError, ("renorm: p must be > 0", "p=0")),
    Refusal("nn.functional.normalize", "out", lambda m: m.nn.functional.normalize(plane(m), out=plane(m)),
            NotImplementedError, ("normalize: out",)),
    Refusal("nn.functional.cosine_similarity", "integers",
            lambda m: m.nn.functional.cosine_similarity(whole(m), whole(m)), RuntimeError,
            ("cosine_similarity needs a floating-point", "int64")),
    Refusal("nn.functional.pairwise_distance", "shapes",
            lambda m: m.nn.functional.pairwise_distance(plane(m), m.ones(2)), RuntimeError, ("cannot be broadcast",)),
    Refusal("pairwise_distance", "shapes", lambda m: m.pairwise_distance(plane(m), m.ones(2)), RuntimeError,
            ("cannot be broadcast",)),
    Refusal("msort", "not a tensor", lambda m: m.msort(plane(m), 1), TypeError, ("msort",)),
    Refusal("topk", "k", lambda m: m.topk(plane(m), 4), RuntimeError, (r"k must be in \[0, 3\]", "not 4")),
    Refusal("kthvalue", "k", lambda m: m.kthvalue(plane(m), 0), RuntimeError, (r"k must be in \[1, 3\]", "not 0")),
    Refusal("median", "no integers", lambda m: m.median(m.ones(0).long()), RuntimeError,
            ("median of nothing", "int64")),
    Refusal("quantile", "q", lambda m: m.quantile(plane(m), 1.5), RuntimeError, (r"q must be in \[0, 1\]", "1.5")),
    Refusal("quantile", "dtype of q", lambda m: m.quantile(plane(m), m.tensor([0.5]).double()), RuntimeError,
            ("q must be", "float32", "float64")),
    Refusal("quantile", "integers", lambda m: m.quantile(whole(m), 0.5), RuntimeError, ("float32 or float64", "int64")),
    Refusal("quantile", "interpolation", lambda m: m.quantile(plane(m), 0.5, interpolation="cubic"), RuntimeError,
            ("interpolation must be one of linear", "'cubic'")),
    Refusal("nanquantile", "nothing", lambda m: m.nanquantile(m.ones(0), 0.5), RuntimeError, ("must not be empty",)),
    Refusal("bincount", "floats", lambda m: m.bincount(m.ones(3)), RuntimeError, ("integers", "float32")),
    Refusal("bincount", "negative", lambda m: m.bincount(m.tensor([1, -2])), RuntimeError, ("negative", "-2")),
    Refusal("bincount", "weights", lambda m: m.bincount(m.tensor([1]), m.ones(2)), RuntimeError,
            ("weights", r"\(2,\)")),
    Refusal("bincount", "minlength", lambda m: m.bincount(m.tensor([1]), minlength=-1), RuntimeError,
            ("minlength", "-1")),
    Refusal("histc", "bins", lambda m: m.histc(plane(m), 0), RuntimeError, ("bins must be 1 or more", "0")),
    Refusal("histc", "range", lambda m: m.histc(plane(m), 2, 3, 1), RuntimeError, ("max must be larger", "3.0")),
    Refusal("histc", "NaN", lambda m: m.histc(plane(m) * float("nan")), RuntimeError, ("must be finite", "nan")),
    Refusal("searchsorted", "side", lambda m: m.searchsorted(plane(m), plane(m), side="up"), RuntimeError,
            ("side must be", "'up'")),
    Refusal("searchsorted", "side and right", lambda m: m.searchsorted(plane(m), plane(m), side="left", right=True),
            RuntimeError, ("side='left' and right=True",)),
    Refusal("searchsorted", "shapes", lambda m: m.searchsorted(plane(m), m.ones(3, 3)), RuntimeError,
            ("leading axes", r"\(3, 3\)")),
    Refusal("searchsorted", "no axis", lambda m: m.searchsorted(m.tensor(1.0), 2.0), RuntimeError, ("0-d",)),
    Refusal("searchsorted", "sorter", lambda m: m.searchsorted(plane(m), plane(m), sorter=plane(m)), RuntimeError,
            ("sorter must be int64", "float32")),
    Refusal("bucketize", "boundaries", lambda m: m.bucketize(plane(m), plane(m)), RuntimeError,
            ("boundaries must have one axis", r"\(2, 3\)")),
    Refusal("isin", "no tensor", lambda m: m.isin(1, 2), TypeError, ("elements or test_elements must be a tensor",)),
]  # fmt: skip

REDUCE = AXES + FLOATS + EMPTY + ARGUMENTS
