"""A checkpoint of dicts in dicts as a flat dict of tensors, and a line of JSON that says how to put it together again.

    {"model": {"weight": w}, "epoch": 3}   ↔   {"model.weight": w},  {"dict": [["model", {"dict": …}], ["epoch", 3]]}

Only data goes in: dicts, lists, tuples, numbers, strings, bools, None and tensors. So nothing that is read can run.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ..tensor import Tensor

KEY = "minipar.structure"  # in the metadata of the file


def is_flat(obj: Any) -> bool:
    """A dict of name → tensor: what safetensors holds as it is, and other programs read."""
    return isinstance(obj, Mapping) and all(
        isinstance(name, str) and isinstance(x, (Tensor, np.ndarray)) for name, x in obj.items()
    )


def flattened(obj: Any) -> tuple[dict[str, Any], str]:
    """The tensors by their paths, and the structure as JSON. TypeError naming what cannot be saved, and where it is."""
    import json  # importing it takes as long as a tenth of minipar

    tensors: dict[str, Any] = {}
    return tensors, json.dumps(_taken_apart(obj, "", tensors))


def _taken_apart(x: Any, path: str, tensors: dict[str, Any]) -> Any:
    """x as JSON can hold it; the tensors in it are entered into `tensors` under their paths."""
    if isinstance(x, (Tensor, np.ndarray)):
        name = path or "tensor"
        while name in tensors or name == "__metadata__":  # {"a": {"b": x}, "a.b": y}
            name += "'"
        tensors[name] = x
        return {"tensor": name}
    if isinstance(x, np.generic):
        x = x.item()
    if x is None or isinstance(x, (bool, int, float, str)):
        return x
    inside = f"{path}." if path else ""
    if isinstance(x, Mapping):
        return {"dict": [[_key(k, path), _taken_apart(v, f"{inside}{k}", tensors)] for k, v in x.items()]}
    if isinstance(x, (list, tuple)):
        kind = "tuple" if isinstance(x, tuple) else "list"
        return {kind: [_taken_apart(v, f"{inside}{i}", tensors) for i, v in enumerate(x)]}
    instead = "; give it its state_dict()" if hasattr(x, "state_dict") else ""
    raise TypeError(
        "save takes tensors, numbers, strings, None, and dicts, lists and tuples of them; "
        f"{path or 'obj'} is a {type(x).__name__}{instead}"
    )


def _key(key: Any, path: str) -> Any:
    if key is None or isinstance(key, (bool, int, float, str)):
        return key
    raise TypeError(f"save: a key of {path or 'obj'} is a {type(key).__name__}; keys are strings or numbers")


def assembled(text: str, tensors: Mapping[str, Any]) -> Any:
    """What `flattened` took apart. ValueError where the JSON is none of ours."""
    import json

    try:
        return _put_together(json.loads(text), tensors)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"the file's {KEY} is damaged: {error}") from None


def _put_together(x: Any, tensors: Mapping[str, Any]) -> Any:
    if not isinstance(x, dict):
        return x
    ((kind, content),) = x.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _put_together(value, tensors) for key, value in content}
    return {"list": list, "tuple": tuple}[kind](_put_together(value, tensors) for value in content)
