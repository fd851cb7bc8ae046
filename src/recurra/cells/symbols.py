"""Symbol: what `step` computes with, by operators, methods and functions of torch.

What is done to a symbol goes to its machine, of which there are two: `trace.Tracer` notes the operations, and
`values.Values` carries them out on tensors, where `step` has a form that plain tensors lack. So both take the
same forms, and refuse the same ones.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar, NoReturn

import numpy as np
import torch
from torch.nn import functional

from recurra.cells.instead import instead
from recurra.cells.program import BINARY, COMPARISONS, UNARY
from recurra.errors import CellError

TRACEABLE = (
    "+ - * / ** neg, sigmoid, tanh, relu, exp, log, softplus, abs, sqrt, maximum, minimum, clamp, "
    "comparisons and where"
)
# Python's names of the binary operations.
OPERATORS = {"add": "add", "sub": "sub", "mul": "mul", "div": "truediv", "pow": "pow"}

TORCH_FUNCTIONS: dict[Callable[..., Any], str] = {
    function: op
    for op, functions in {
        "add": (torch.add,),
        "sub": (torch.sub, torch.subtract),
        "mul": (torch.mul, torch.multiply),
        "div": (torch.div, torch.divide, torch.true_divide),
        "pow": (torch.pow,),
        "neg": (torch.neg, torch.negative),
        "sigmoid": (torch.sigmoid, functional.sigmoid, torch.special.expit),
        "tanh": (torch.tanh, functional.tanh),
        "relu": (torch.relu, functional.relu),
        "exp": (torch.exp,),
        "log": (torch.log,),
        "softplus": (functional.softplus,),
        "abs": (torch.abs, torch.absolute),
        "sqrt": (torch.sqrt,),
        "maximum": (torch.maximum,),
        "minimum": (torch.minimum,),
        "lt": (torch.lt, torch.less),
        "le": (torch.le, torch.less_equal),
        "gt": (torch.gt, torch.greater),
        "ge": (torch.ge, torch.greater_equal),
        "eq": (torch.eq,),
        "ne": (torch.ne, torch.not_equal),
        "clamp": (torch.clamp, torch.clip),
        "where": (torch.where,),
    }.items()
    for function in functions
}
METHODS: dict[str, str] = {op: op for op in TORCH_FUNCTIONS.values()} | {
    function.__name__: op
    for function, op in TORCH_FUNCTIONS.items()
    if hasattr(torch.Tensor, function.__name__)
}

# The parameters of the functions, in order, and those whose default value changes nothing.
_PARAMETERS: dict[str, tuple[str, ...]] = (
    dict.fromkeys(UNARY, ("input",))
    | dict.fromkeys((*BINARY, *COMPARISONS, "maximum", "minimum"), ("input", "other"))
    | {
        "pow": ("input", "exponent"),
        "softplus": ("input", "beta", "threshold"),
        "relu": ("input", "inplace"),
        "clamp": ("input", "min", "max"),
        "where": ("condition", "input", "other"),
    }
)
_DEFAULTS = {"beta": 1, "threshold": 20, "inplace": False, "alpha": 1, "rounding_mode": None, "out": None}

# What Python would otherwise refuse in words that do not name the step, and the names of its methods.
_REFUSED = {
    "`@`": "matmul rmatmul",
    "`//`": "floordiv rfloordiv",
    "`%`": "mod rmod",
    "`divmod()`": "divmod rdivmod",
    "`&`": "and rand",
    "`|`": "or ror",
    "`^`": "xor rxor",
    "`~`": "invert",
    "`[...]`": "getitem setitem delitem",
    "`in`": "contains",
    "iteration": "iter",
    "`len()`": "len",
    "`float()`": "float",
    "`int()`": "int",
    "`complex()`": "complex",
    "`index()`": "index",
    "`round()`": "round",
    "`math.trunc()`": "trunc",
    "`math.floor()`": "floor",
    "`math.ceil()`": "ceil",
    "a call": "call",
    "`with`": "enter",
    "a copy": "reduce_ex",
    "`del`": "delattr",
    "numpy": "array",
}

_NUMBERS = (int, float, np.bool_, np.integer, np.floating)
_PLAIN_NUMBERS = (int, float, np.float32, np.float64, np.int32, np.int64)  # torch takes them in every place


class Machine(ABC):
    """What carries out, or notes, the operations on symbols.

    Attributes:
        name: how messages call the step.
        on_tensors: whether plain tensors could run everything that has been asked for so far.
    """

    name: str
    on_tensors = True

    @property
    @abstractmethod
    def where(self) -> str:
        """How a message begins: the line that runs, or the name of the step."""

    @abstractmethod
    def apply(self, op: str, operands: Sequence[Symbol | float], bounds: tuple[float | None, ...]) -> Any:
        """The value that a symbol of this operation holds."""

    @abstractmethod
    def show(self, value: Any) -> str:
        """A symbol's value in words."""

    def refuse(self, name: str, shown: str) -> NoReturn:
        """Raise for what has no counterpart in a program; `shown` is how the message calls it."""
        raise CellError(f"{self.where}: {shown} cannot be traced{instead(name)}; what can: {TRACEABLE}.")


class Symbol:
    """Stands for a value `[B, H]` of a step."""

    __slots__ = ("_machine", "_value")
    __array_priority__: ClassVar[float] = 1000  # numpy's scalars leave operators to us
    __hash__ = object.__hash__

    _machine: Machine
    _value: Any

    def __init__(self, machine: Machine, value: Any) -> None:
        object.__setattr__(self, "_machine", machine)
        object.__setattr__(self, "_value", value)

    def __repr__(self) -> str:
        return f"<value of {self._machine.name}: {self._machine.show(self._value)}>"

    def __format__(self, form: str) -> str:
        if form:
            self._machine.refuse("format", f"the format {form!r}")
        return repr(self)

    def __bool__(self) -> bool:
        raise CellError(
            f"{self._machine.where}: a value is not known while the step is traced, so `if`, `while`, `and`, "
            "`or` and `not` cannot ask for it; use torch.where(condition, a, b)."
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._machine.refuse(name, f"`.{name}`")

    def __setattr__(self, name: str, value: Any) -> None:
        self._machine.refuse(name, f"setting `.{name}`")

    def __pos__(self) -> Symbol:
        return self

    def where(self, condition: Any, other: Any) -> Symbol:
        return _call(self._machine, "where", (condition, self, other), {}, "`where`")

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Symbol:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", str(function))
        symbol = _first_symbol((args, kwargs))
        if symbol is None:
            raise TypeError(f"torch's `{name}` cannot be traced with such arguments")
        op = TORCH_FUNCTIONS.get(function)
        if op is None and any(isinstance(arg, torch.Tensor) for arg in args):
            op = METHODS.get(name)  # an operator between a tensor and a symbol
        if op is None:
            symbol._machine.refuse(name, f"torch's `{name}`")
        return _call(symbol._machine, op, args, kwargs, f"torch's `{name}`")


class Condition(Symbol):
    """A comparison: only `where` can use it."""

    __slots__ = ()


def _first_symbol(value: Any) -> Symbol | None:
    """The first symbol in nested sequences and dicts."""
    if isinstance(value, Symbol):
        return value
    if isinstance(value, Mapping):
        value = tuple(value.values())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return next((symbol for part in value if (symbol := _first_symbol(part)) is not None), None)
    return None


def _call(
    machine: Machine,
    op: str,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
    shown: str,
    form: str = "",
) -> Symbol:
    """One operation; `form` tells those of which plain tensors lack some: "method" and "in place"."""
    bound = _bind(machine, op, args, kwargs, shown)
    limits = [bound.pop(name, None) for name in ("min", "max")]  # of clamp
    bounds = tuple(_bound(machine, limit) for limit in limits) if op == "clamp" else ()
    if bounds == (None, None):
        raise CellError(f"{machine.where}: clamp expected a lower or an upper bound, got neither.")
    numbers = [limit for limit in limits if limit is not None]
    machine.on_tensors &= _on_tensors(op, [*bound.values(), *numbers], form)
    operands = [
        _condition(machine, value) if name == "condition" else operand(machine, value, op)
        for name, value in bound.items()
    ]
    result = machine.apply(op, operands, bounds)
    return Condition(machine, result) if op in COMPARISONS else Symbol(machine, result)


def _bind(
    machine: Machine, op: str, args: Sequence[Any], kwargs: Mapping[str, Any], shown: str
) -> dict[str, Any]:
    """The operands by name, in order; those that say what is the default anyway are left out."""
    names = _PARAMETERS[op]
    bound = dict(zip(names, args, strict=False)) | dict(kwargs)
    fits = len(args) <= len(names) and len(bound) == len(args) + len(kwargs)
    for name, default in _DEFAULTS.items():
        value = bound.pop(name, default)
        fits &= type(value) in (bool, int, float, type(None)) and value == default
    optional = {*_DEFAULTS, *(("min", "max") if op == "clamp" else ())}
    if not fits or not set(names) >= set(bound) >= set(names) - optional:
        machine.refuse(op, f"{shown} with these arguments")
    return {name: bound[name] for name in names if name in bound}


def _on_tensors(op: str, operands: Sequence[Any], form: str) -> bool:
    """Whether plain tensors take this form, and give it the type of the states."""
    numbers = [value for value in operands if not isinstance(value, Symbol)]
    if form == "in place" or any(
        type(value) not in _PLAIN_NUMBERS or (isinstance(value, int) and abs(value) >= 2**63)
        for value in numbers
    ):
        return False
    if op in ("maximum", "minimum"):
        return not numbers
    if op == "where":
        return len(numbers) < 2
    return op != "softplus" or form != "method"


def operand(machine: Machine, value: Any, what: str) -> Symbol | float:
    """A symbol of this machine, or a number.

    Raises:
        CellError: it is neither.
    """
    if isinstance(value, Condition):
        raise CellError(
            f"{machine.where}: a comparison can only be used in torch.where, but came as operand of {what}; "
            "torch.where(condition, 1.0, 0.0) makes a number of it."
        )
    if isinstance(value, Symbol):
        return _own(machine, value, what)
    if isinstance(value, _NUMBERS):
        return _number(machine, value, what)
    raise CellError(
        f"{machine.where}: {what} expected a value of this step or a number, got {described(value)}; "
        "for a constant write a Python number, for one per unit declare it in `vectors` and call affine.vector(name), "
        "for a weight matrix declare a gate."
    )


def _own(machine: Machine, symbol: Symbol, what: str) -> Symbol:
    """The symbol, if it belongs to this machine."""
    if symbol._machine is not machine:
        raise CellError(
            f"{machine.where}: a value of another trace came into {what}; keep no values between steps."
        )
    return symbol


def _number(machine: Machine, value: Any, what: str) -> float:
    try:
        return float(value)
    except OverflowError as error:
        raise CellError(
            f"{machine.where}: {what} got a whole number that no float can hold; write math.inf for infinity."
        ) from error


def _condition(machine: Machine, value: Any) -> Symbol:
    if isinstance(value, Condition):
        return _own(machine, value, "where")
    raise CellError(
        f"{machine.where}: where expected a comparison first, got {described(value)}; what is known before the "
        "step runs is for Python's `if`."
    )


def _bound(machine: Machine, value: Any) -> float | None:
    if value is None or isinstance(value, _NUMBERS):
        return None if value is None else _number(machine, value, "clamp")
    raise CellError(
        f"{machine.where}: clamp takes numbers as bounds, got {described(value)}; "
        "use torch.minimum and torch.maximum."
    )


def described(value: Any) -> str:
    """A value's type and, of an array, its shape."""
    kind = type(value).__name__
    if isinstance(value, Symbol):
        return "a comparison" if isinstance(value, Condition) else "a value of the step"
    return f"{kind} {list(value.shape)}" if isinstance(value, torch.Tensor | np.ndarray) else kind


def _install() -> None:
    """The methods and operators of `Symbol`."""

    def method(op: str, form: str = "", swapped: bool = False) -> Callable[..., Symbol]:
        def call(self: Symbol, *args: Any, **kwargs: Any) -> Symbol:
            operands = (*args, self) if swapped else (self, *args)
            return _call(self._machine, op, operands, kwargs, f"`{op}`", form)

        return call

    def refused(shown: str) -> Callable[..., NoReturn]:
        return lambda self, *operands, **options: self._machine.refuse(shown.strip("`"), shown)

    for name, op in METHODS.items():
        if name != "where":  # whose first operand is the second one there
            setattr(Symbol, name, method(op, "method"))
    for op, name in OPERATORS.items():
        setattr(Symbol, f"__{name}__", method(op))
        setattr(Symbol, f"__r{name}__", method(op, swapped=True))
        setattr(Symbol, f"__i{name}__", method(op, "in place"))  # on a tensor it would change the caller's
    for op in COMPARISONS:
        setattr(Symbol, f"__{op}__", method(op))
    for op in ("neg", "abs"):
        setattr(Symbol, f"__{op}__", method(op))
    for shown, names in _REFUSED.items():
        for name in names.split():
            setattr(Symbol, f"__{name}__", refused(shown))


_install()
