"""Module: what has parameters, buffers and other modules inside, and a forward.

How it is called, with the hooks around that, is in `hooks.py`; how its state is saved and loaded in `state.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..backend import device as Device
from ..backend import dtypes
from ..tensor import Tensor
from ..tensor.converted import destination
from .buffer import Buffer
from .hooks import CALL_HOOKS, Hooked
from .parameter import Parameter, zero_grad
from .state import STATE_HOOKS, State


class Module(Hooked, State):
    """Base of all layers and models. Subclasses set parameters and modules as attributes and define `forward`.

    >>> class Net(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.fc = nn.Linear(4, 2)
    ...
    ...     def forward(self, x):
    ...         return self.fc(x).relu()
    >>> Net()(minipar.ones(3, 4)).shape
    (3, 2)
    """

    training: bool

    def __init__(self) -> None:
        set_ = object.__setattr__
        set_(self, "training", True)
        set_(self, "_parameters", OrderedDict())
        set_(self, "_buffers", OrderedDict())
        set_(self, "_non_persistent", set())
        set_(self, "_modules", OrderedDict())
        for hooks in (*CALL_HOOKS, *STATE_HOOKS):
            set_(self, hooks, OrderedDict())

    # ── attributes are registered by their kind ───────────────────────────────────────────────────────────────────

    def __setattr__(self, name: str, value: Any) -> None:
        registries = self.__dict__
        if "_parameters" not in registries:
            if isinstance(value, (Parameter, Module)):
                raise AttributeError(f"call super().__init__() before assigning {name!r} to a Module")
            object.__setattr__(self, name, value)
        elif isinstance(value, Parameter):
            self._forget(name, but=self._parameters)
            self.register_parameter(name, value)
        elif name in self._parameters:
            if value is not None:
                raise TypeError(
                    f"{name!r} is a parameter: assign an nn.Parameter or None, not {type(value).__name__}; "
                    "to change its numbers use `with no_grad(): module.weight.copy_(x)`"
                )
            self._parameters[name] = None
        elif isinstance(value, Buffer):
            self._forget(name, but=self._buffers)
            self.register_buffer(name, value, value.persistent)
        elif isinstance(value, Module):
            self._forget(name, but=self._modules)
            self._modules[name] = value
        elif name in self._modules:
            if value is not None:
                raise TypeError(f"{name!r} is a module: assign a Module or None, not {type(value).__name__}")
            self._modules[name] = None
        elif name in self._buffers:
            if value is not None and not isinstance(value, Tensor):
                raise TypeError(f"{name!r} is a buffer: assign a Tensor or None, not {type(value).__name__}")
            self._buffers[name] = value
        else:
            self._forget(name)
            object.__setattr__(self, name, value)
            if name == "forward":
                object.__setattr__(self, "_hooked", True)

    def __getattr__(self, name: str) -> Any:
        registries = self.__dict__
        if "_modules" in registries:
            for found in (registries["_modules"], registries["_parameters"], registries["_buffers"]):
                if name in found:
                    return found[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        if not self._forget(name):
            object.__delattr__(self, name)

    def __dir__(self) -> list[str]:
        return [*super().__dir__(), *self._parameters, *self._buffers, *self._modules]

    def _forget(self, name: str, but: dict[str, Any] | None = None) -> bool:
        """Remove `name` from wherever it is registered, `but` from one registry, where it keeps its place."""
        self._non_persistent.discard(name)
        places = (self._parameters, self._buffers, self._modules, self.__dict__)
        removed = [place.pop(name) for place in places if place is not but and name in place]
        return bool(removed)

    def _check_name(self, name: str, registry: Mapping[str, Any]) -> None:
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"a name must be a non-empty string without dots, not {name!r}")
        if hasattr(self, name) and name not in registry:
            raise KeyError(f"{type(self).__name__} already has an attribute {name!r}")

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """A parameter under this name, as an assignment makes one; None keeps the name. KeyError if it is taken."""
        self._check_name(name, self._parameters)
        if param is not None and not isinstance(param, Parameter):
            raise TypeError(f"register_parameter expects an nn.Parameter or None, not {type(param).__name__}")
        self._parameters[name] = param

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """A tensor that is no parameter but belongs to the module's state (unless not `persistent`)."""
        self._check_name(name, self._buffers)
        if tensor is not None and not isinstance(tensor, Tensor):
            raise TypeError(f"register_buffer expects a Tensor or None, not {type(tensor).__name__}")
        self._buffers[name] = tensor
        (self._non_persistent.discard if persistent else self._non_persistent.add)(name)

    def add_module(self, name: str, module: Module | None) -> None:
        """A module under this name, as an assignment makes one; None keeps the name. KeyError if it is taken."""
        self._check_name(name, self._modules)
        if module is not None and not isinstance(module, Module):
            raise TypeError(f"add_module expects a Module or None, not {type(module).__name__}")
        self._modules[name] = module

    register_module = add_module

    # ── walking the tree ──────────────────────────────────────────────────────────────────────────────────────────

    def named_modules(
        self, memo: set[Module] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """(path, module) of this module and all inside it, each once unless not `remove_duplicate`."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all inside it, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """(name, module) of the modules directly inside, each once."""
        seen: set[Module] = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        return (module for _, module in self.named_children())

    def _named(self, registry: str, prefix: str, recurse: bool, unique: bool) -> Iterator[tuple[str, Any]]:
        seen: set[int] = set()
        inside = self.named_modules(prefix=prefix, remove_duplicate=unique)
        for path, module in inside if recurse else [(prefix, self)]:
            for name, value in getattr(module, registry).items():
                if value is None or (unique and id(value) in seen):
                    continue
                seen.add(id(value))
                yield (f"{path}.{name}" if path else name), value

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """(path, parameter) in order of registration; a tied parameter once, under its first name."""
        return self._named("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Every parameter once, in order of registration; without `recurse` only those of this module itself."""
        return (p for _, p in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        return self._named("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Every buffer once, in order of registration; without `recurse` only those of this module itself."""
        return (b for _, b in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of this path, as in "encoder.0"; "" is this one. AttributeError if there is none."""
        module = self
        for name in target.split(".") if target else []:
            if not isinstance(module, Module) or module._modules.get(name) is None:
                raise AttributeError(f"{type(module).__name__} has no module {name!r} (looking for {target!r})")
            module = module._modules[name]
        return module

    def get_parameter(self, target: str) -> Parameter:
        """The parameter of this path. AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._parameters.get(name)
        if found is None:
            raise AttributeError(f"no parameter {target!r}")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of this path. AttributeError if there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._buffers.get(name)
        if found is None:
            raise AttributeError(f"no buffer {target!r}")
        return found

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put `module` at this path: in the place of another, or (unless `strict`) as a new one of its parent.

        >>> net = nn.Sequential(nn.Linear(2, 2), nn.ReLU())
        >>> net.set_submodule("1", nn.Tanh())
        >>> net[1]
        Tanh()
        """
        if not target:
            raise ValueError("set_submodule: target must be the path of a module inside, not the empty string")
        if not isinstance(module, Module):
            raise ValueError(f"set_submodule expects a Module, not {type(module).__name__}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path)
        if strict and parent._modules.get(name) is None:
            raise AttributeError(f"set_submodule: {type(parent).__name__} has no module {name!r}")
        parent.add_module(name, module)

    # ── what is done to all of it ─────────────────────────────────────────────────────────────────────────────────

    def apply(self, function: Callable[[Module], None]) -> Module:
        """Call `function` on every module inside, children first, then on this one."""
        for module in self.children():
            module.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Module:
        """Set `training` here and in all modules inside: dropout drops, batch norm takes its numbers from the batch."""
        if not isinstance(mode, bool):
            raise ValueError(f"train expects a bool, not {mode!r}")
        object.__setattr__(self, "training", mode)
        for module in self.children():
            module.train(mode)  # which a subclass may have overridden, to keep a part of it in eval mode
        return self

    def eval(self) -> Module:
        """`train(False)`: dropout passes everything on, batch norm takes the numbers that it has kept."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Whether backward gives the parameters gradients: False freezes them."""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients (`p.grad` is None until the next backward), or fill them with zeros in place."""
        zero_grad(self.parameters(), set_to_none)

    def to(self, *args: Any, device: Any = None, dtype: Any = None, non_blocking: bool = False) -> Module:
        """Move to a device and convert floating-point parameters and buffers to a dtype, in place: parameters stay
        the same objects, so an optimizer goes on training them.

        `non_blocking` allows the copy to overlap with other work; here none does.
        """
        there, kind, _ = destination(args, device, dtype)
        if kind is not None and not dtypes.is_floating(kind):
            raise TypeError(f"a module's parameters can only be floating point, not {kind.name}")

        def moved(x: Tensor) -> Tensor:
            return x.detach().to(device=there, dtype=kind if x.is_floating_point() else None)

        for p in self.parameters():
            new = moved(p)
            if new.dtype != p.dtype or new.device != p.device:
                grad = p.grad
                p.data = new
                p.grad = None if grad is None else moved(grad)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = moved(buffer)
        return self

    def type(self, dst_type: Any) -> Module:
        """Convert every parameter and buffer to a floating-point dtype, integer buffers too."""
        self.to(dst_type)
        for module in self.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    module._buffers[name] = buffer.to(dst_type)
        return self

    def float(self) -> Module:
        return self.to(dtypes.float32)

    def double(self) -> Module:
        return self.to(dtypes.float64)

    def half(self) -> Module:
        return self.to(dtypes.float16)

    def cpu(self) -> Module:
        return self.to("cpu")

    def cuda(self, device: int | None = None) -> Module:
        return self.to(Device("cuda", device))

    # ── text ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def extra_repr(self) -> str:
        """What is shown between the parentheses of this module's line."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        extra = self.extra_repr().split("\n") if self.extra_repr() else []
        lines = [*extra]
        for name, module in self._modules.items():
            first, *rest = repr(module).split("\n")
            lines += [f"({name}): {first}", *rest]
        if len(lines) == len(extra) <= 1:
            return f"{self._get_name()}({''.join(extra)})"
        return "\n".join([f"{self._get_name()}(", *[f"  {line}" for line in lines], ")"])
