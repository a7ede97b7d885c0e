"""Variable: what older scripts wrap a tensor in. Every tensor is one."""

from __future__ import annotations

from typing import Any

from ..tensor import Tensor


class _EveryTensor(type):
    def __instancecheck__(cls, thing: Any) -> bool:
        return isinstance(thing, Tensor)


class Variable(metaclass=_EveryTensor):
    """`data.detach()`, recording from here on if `requires_grad`: a Tensor, and every Tensor is a Variable.

    TypeError if `data` is no tensor.

    >>> minipar.autograd.Variable(minipar.ones(2), requires_grad=True)
    tensor([1., 1.], requires_grad=True)
    >>> isinstance(minipar.ones(2), minipar.autograd.Variable)
    True
    """

    def __new__(cls, data: Tensor, requires_grad: bool = False) -> Any:
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable: data must be a tensor, not {type(data).__name__}")
        return data.detach().requires_grad_(requires_grad)
