"""Python that no kernel may contain, or that the simulator does not know, by line."""

import ast

# What Numba does not compile for a GPU, which has no memory to make such things in.
NOT_IN_KERNELS: dict[type[ast.AST], str] = {
    ast.ListComp: "a list comprehension",
    ast.SetComp: "a set comprehension",
    ast.DictComp: "a dict comprehension",
    ast.GeneratorExp: "a generator expression",
    ast.List: "a list",
    ast.Set: "a set",
    ast.Dict: "a dict",
    ast.Yield: "yield",
    ast.Try: "try",
    ast.With: "with",
    ast.Global: "global",
    ast.ClassDef: "a class",
}
NOT_SIMULATED: dict[type[ast.AST], str] = {
    ast.Slice: "a slice: index its elements",
    ast.Lambda: "lambda: use a device function",
}


def check(function: ast.FunctionDef, is_kernel: bool) -> None:
    """TypeError for what cannot be compiled, NotImplementedError for what cannot be simulated."""
    for node in ast.walk(function):
        line = f"in line {getattr(node, 'lineno', 0)} of {function.name}"
        if type(node) in NOT_IN_KERNELS:
            raise TypeError(f"{NOT_IN_KERNELS[type(node)]} {line}, which a kernel cannot have")
        if type(node) in NOT_SIMULATED or (isinstance(node, ast.FunctionDef) and node is not function):
            raise NotImplementedError(
                f"the simulator does not know {NOT_SIMULATED.get(type(node), 'def in def')} {line}"
            )
        if is_kernel and isinstance(node, ast.Return) and node.value is not None:
            raise TypeError(f"return of a value {line}: a kernel returns nothing, it writes into an array")


def check_constant(shape: ast.expr, function: ast.FunctionDef) -> None:
    """TypeError unless the shape of a shared or local array is known before the kernel runs."""
    parameters = {parameter.arg for parameter in function.args.args}
    computed = {
        target.id
        for node in ast.walk(function)
        if isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    for node in ast.walk(shape):
        if isinstance(node, ast.Name) and node.id in parameters | computed:
            line = f"in line {shape.lineno} of {function.name}"
            raise TypeError(
                f"the shape of an array must be constant {line}, {node.id} is known when the kernel runs only"
            )
