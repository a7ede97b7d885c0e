"""Modules made of modules: in a row, as a list, or by name."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import index as as_index
from typing import Any

from ..ops.shape import flatten, unflatten
from ..tensor import Tensor
from .fusion import fused
from .module import Module


def _position(index: Any, length: int, end: bool = False) -> int:
    """`index` counted from 0; IndexError outside the length (one past it is allowed at the `end`)."""
    position = as_index(index)
    if not -length <= position < length + end:
        raise IndexError(f"index {position} is out of range for {length} modules")
    return position % length if position < 0 else position


class _Row(Module):
    """Modules named by their numbers: what Sequential and ModuleList have in common."""

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, list(self._modules)[_position(index, len(self))], module)

    def __delitem__(self, index: int | slice) -> None:
        names = list(self._modules)
        doomed = names[index] if isinstance(index, slice) else [names[_position(index, len(self))]]
        for name in doomed:
            del self._modules[name]
        self._renumber(list(self._modules.values()))

    def _renumber(self, modules: list[Module]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self._modules[str(i)] = module

    def append(self, module: Module) -> Any:
        """Add one at the end; returns self."""
        self.add_module(str(len(self)), module)
        return self

    def insert(self, index: int, module: Module) -> Any:
        """Add one before number `index`; returns self. IndexError if there is no such place."""
        if not isinstance(module, Module):
            raise TypeError(f"insert expects a Module, not {type(module).__name__}")
        modules = list(self._modules.values())
        modules.insert(_position(index, len(self), end=True), module)
        self._renumber(modules)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add several at the end; returns self."""
        if not isinstance(modules, Iterable):
            raise TypeError(f"extend expects an iterable of modules, not {type(modules).__name__}")
        for module in list(modules):
            self.append(module)
        return self

    def pop(self, index: int | slice) -> Any:
        """Remove number `index` and return it."""
        removed = self[index]  # type: ignore[index]
        del self[index]
        return removed


class Sequential(_Row):
    """Modules applied one after the other: `Sequential(a, b)` or `Sequential(OrderedDict(first=a, second=b))`.

    >>> net = nn.Sequential(nn.Flatten(), nn.ReLU())
    >>> net(minipar.ones(2, 3, 4)).shape
    (2, 12)
    """

    _planned: tuple[Module, ...] = ()  # the modules for which the steps were worked out
    _steps: Sequence[Callable[[Any], Any]] = ()

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        named = modules[0].items() if len(modules) == 1 and isinstance(modules[0], OrderedDict) else enumerate(modules)
        for name, module in named:
            self.add_module(str(name), module)

    def forward(self, input: Any) -> Any:
        modules = tuple(self._modules.values())
        if modules != self._planned:
            object.__setattr__(self, "_planned", modules)
            object.__setattr__(self, "_steps", fused(modules))
        for step in self._steps:
            input = step(input)
        return input

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(OrderedDict(list(self._modules.items())[index]))
        return list(self._modules.values())[_position(index, len(self))]

    def __add__(self, other: Sequential) -> Sequential:
        """The modules of both, in one."""
        _check_sequential(other)
        return Sequential(*self, *other)

    def __iadd__(self, other: Sequential) -> Sequential:
        _check_sequential(other)
        return self.extend(other)

    def __mul__(self, times: int) -> Sequential:
        """The modules `times` times over: the same objects, their parameters shared."""
        _check_times(times)
        return Sequential(*list(self) * times)

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Sequential:
        _check_times(times)
        return self.extend(list(self) * (times - 1))


def _check_sequential(other: Any) -> None:
    if not isinstance(other, Sequential):
        raise ValueError(f"Sequential: only another Sequential can be added, not {type(other).__name__}")


def _check_times(times: Any) -> None:
    if not isinstance(times, int):
        raise TypeError(f"Sequential: the factor must be an int, not {type(times).__name__}")
    if times <= 0:
        raise ValueError(f"Sequential: the factor must be positive, not {times}")


class ModuleList(_Row):
    """A list whose modules are registered. It has no forward of its own.

    >>> layers = nn.ModuleList([nn.Linear(2, 2) for _ in range(3)])
    >>> len(layers), len(list(layers.parameters()))
    (3, 6)
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.extend(modules)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(list(self._modules.values())[index])
        return self._modules[str(_position(index, len(self)))]

    def __add__(self, other: Iterable[Module]) -> ModuleList:
        """The modules of both, in one."""
        return type(self)([*self, *other])

    def __iadd__(self, other: Iterable[Module]) -> ModuleList:
        return self.extend(other)

    def __repr__(self) -> str:
        """Equal neighbours are told once: `(0-2): 3 x Linear(…)`."""
        if not len(self):
            return f"{self._get_name()}()"
        lines = []
        start, texts = 0, [repr(module) for module in self]
        for end in range(1, len(texts) + 1):
            if end < len(texts) and texts[end] == texts[start]:
                continue
            count = end - start
            text = f"({start}): {texts[start]}" if count == 1 else f"({start}-{end - 1}): {count} x {texts[start]}"
            lines += [f"  {line}" for line in text.split("\n")]
            start = end
        return "\n".join([f"{self._get_name()}(", *lines, ")"])


class ModuleDict(Module):
    """A dict whose modules are registered, in order of insertion. It has no forward of its own.

    >>> acts = nn.ModuleDict({"relu": nn.ReLU(), "tanh": nn.Tanh()})
    >>> list(acts), acts["relu"]
    (['relu', 'tanh'], ReLU())
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.add_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove `key` and return its module."""
        return self._modules.pop(key)

    def keys(self) -> Iterable[str]:
        return self._modules.keys()

    def items(self) -> Iterable[tuple[str, Module]]:
        return self._modules.items()

    def values(self) -> Iterable[Module]:
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add or replace modules from a mapping, or from pairs (key, module)."""
        if not isinstance(modules, (Mapping, ModuleDict, Iterable)):
            raise TypeError(f"update expects a mapping or pairs (key, module), not {type(modules).__name__}")
        pairs = modules.items() if isinstance(modules, (Mapping, ModuleDict)) else modules
        for i, pair in enumerate(pairs):
            if len(pair) != 2:
                raise ValueError(f"update: pair {i} must be (key, module), but has {len(pair)} elements")
            self[pair[0]] = pair[1]


class Flatten(Module):
    """The axes from start_dim to end_dim as one: (N, C, H, W) → (N, C·H·W) by default.

    >>> nn.Flatten()(minipar.ones(2, 3, 4)).shape
    (2, 12)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Tensor) -> Tensor:
        return flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Axis `dim` as several, of the sizes `unflattened_size` (one may be −1): the inverse of Flatten.

    >>> nn.Unflatten(1, (3, 4))(minipar.ones(2, 12)).shape
    (2, 3, 4)
    """

    def __init__(self, dim: int, unflattened_size: Iterable[int]) -> None:
        super().__init__()
        if isinstance(dim, str):
            raise NotImplementedError("Unflatten: dim must be a number; named axes are not supported")
        if not isinstance(unflattened_size, (tuple, list)):
            raise TypeError(
                f"Unflatten: unflattened_size must be a tuple of sizes, not {type(unflattened_size).__name__}"
            )
        self.dim, self.unflattened_size = dim, unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        return unflatten(input, self.dim, self.unflattened_size)

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
