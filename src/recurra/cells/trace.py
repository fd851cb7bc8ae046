"""Tracing: `step` is run once on symbols, and what it did to them is the program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import torch
from torch.nn import functional

from recurra.cells.program import BINARY, COMPARISONS, UNARY, Builder, Node, Program
from recurra.cells.source import first_line, returning_line, running_line
from recurra.errors import CellError, nearest

if TYPE_CHECKING:
    from recurra.cells.cell import Cell

TRACEABLE = (
    "+ - * / ** neg, sigmoid, tanh, relu, exp, log, softplus, abs, sqrt, maximum, minimum, clamp, "
    "comparisons and where"
)


# Operators that have no rule, by the names of their methods.
UNTRACEABLE = (
    "matmul rmatmul floordiv rfloordiv mod rmod divmod rdivmod and rand or ror xor rxor invert pos round "
    "getitem setitem delitem contains iter len float int complex index call"
)


class Symbol:
    """Stands for a `[B, H]` value while `step` is traced."""

    def __init__(self, tracer: Tracer, index: int) -> None:
        self._tracer = tracer
        self._index = index

    __hash__ = object.__hash__

    def __bool__(self) -> bool:
        raise CellError(
            f"{self._tracer.where}: a value is not known while the step is traced, so `if`, `while`, `and`, "
            "`or` and `not` cannot ask for it; use torch.where(condition, a, b)."
        )

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        self._refuse(f".{name}")

    def _refuse(self, shown: str) -> NoReturn:
        raise CellError(f"{self._tracer.where}: `{shown}` cannot be traced; what can: {TRACEABLE}.")

    def __neg__(self) -> Symbol:
        return self._tracer.apply("neg", self)

    def clamp(self, min: float | None = None, max: float | None = None) -> Symbol:
        return self._tracer.clamp(self, min, max)

    clip = clamp

    def maximum(self, other: Symbol) -> Symbol:
        return self._tracer.apply("maximum", self, other)

    def minimum(self, other: Symbol) -> Symbol:
        return self._tracer.apply("minimum", self, other)

    def where(self, condition: Condition, other: Any) -> Symbol:
        return self._tracer.where_(condition, self, other)

    @classmethod
    def __torch_function__(
        cls,
        function: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Symbol:
        tracer = next(arg._tracer for arg in (*args, *(kwargs or {}).values()) if isinstance(arg, Symbol))
        if function in TORCH_CLAMPS:
            return tracer.clamp(*args, **(kwargs or {}))
        if function is torch.where and len(args) == 3 and not kwargs:
            return tracer.where_(*args)
        name = TORCH_FUNCTIONS.get(function)
        inert = {key: value for key, value in (kwargs or {}).items() if (key, value) != ("inplace", False)}
        if name is None or inert:
            shown = getattr(function, "__name__", str(function))
            raise CellError(
                f"{tracer.where}: torch's `{shown}` with these arguments cannot be traced; what can: {TRACEABLE}."
            )
        return tracer.apply(name, *args)


class Condition(Symbol):
    """A comparison: only `where` can use it."""


def _install_operators() -> None:
    def unary(name: str) -> Callable[[Symbol], Symbol]:
        return lambda self: self._tracer.apply(name, self)

    def binary(name: str, swapped: bool = False) -> Callable[[Symbol, Any], Symbol]:
        if swapped:
            return lambda self, other: self._tracer.apply(name, other, self)
        return lambda self, other: self._tracer.apply(name, self, other)

    def untraceable(name: str) -> Callable[..., NoReturn]:
        return lambda self, *operands: self._refuse(name)

    for name in UNARY:
        setattr(Symbol, name, unary(name))
    for name in (*BINARY, *COMPARISONS):
        setattr(Symbol, name, binary(name))
    # What Python would otherwise refuse in words that do not name the step.
    for name in UNTRACEABLE.split():
        setattr(Symbol, f"__{name}__", untraceable(f"__{name}__"))
    Symbol.__abs__ = unary("abs")  # type: ignore[attr-defined]
    for name, dunder in {"add": "add", "sub": "sub", "mul": "mul", "div": "truediv", "pow": "pow"}.items():
        setattr(Symbol, f"__{dunder}__", binary(name))
        setattr(Symbol, f"__r{dunder}__", binary(name, swapped=True))
    for name in COMPARISONS:
        setattr(Symbol, f"__{name}__", binary(name))


_install_operators()

TORCH_CLAMPS = (torch.clamp, torch.clip)
TORCH_FUNCTIONS: dict[Callable[..., Any], str] = {
    function: name
    for name, functions in {
        "add": (torch.add, torch.Tensor.add, torch.Tensor.__radd__),
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
    }.items()
    for function in functions
}


class Tracer:
    """Builds a program while `step` runs."""

    def __init__(self, cell: Cell) -> None:
        self.cell_class = type(cell)
        self.name = f"{self.cell_class.__name__}.step"
        self.builder = Builder()
        self.halves: set[tuple[str, str]] = set()
        self.hidden_bias_gates: set[str] = set()

    @property
    def where(self) -> str:
        """The line of `step`, or of what it calls, that is being traced."""
        return running_line(trace.__code__, self.cell_class.step, self.name)

    def symbol(self, op: str, *args: int, name: str = "") -> Symbol:
        return Symbol(self, self.builder.add(op, *args, name=name))

    def index(self, value: Any, what: str) -> int:
        """The node of an operand: a symbol's own, or a constant's."""
        if isinstance(value, Condition):
            raise CellError(
                f"{self.where}: a comparison can only be used in torch.where, but came as operand of {what}."
            )
        if isinstance(value, Symbol):
            if value._tracer is not self:
                raise CellError(
                    f"{self.where}: a value of another trace came into {what}; keep no values between steps."
                )
            return value._index
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise CellError(
                f"{self.where}: {what} expected a value of this step or a number, got {type(value).__name__}; "
                "declare a per-unit constant in `vectors` and call affine.vector(name)."
            )
        return self.builder.add("constant", values=(float(value),))

    def apply(self, op: str, *operands: Any) -> Symbol:
        expected = 2 if op in BINARY or op in COMPARISONS or op in ("maximum", "minimum") else 1
        if len(operands) != expected:
            raise CellError(f"{self.where}: {op} takes {expected} operands, got {len(operands)}.")
        index = self.builder.add(op, *(self.index(operand, op) for operand in operands))
        return Condition(self, index) if op in COMPARISONS else Symbol(self, index)

    def clamp(self, value: Any, min: float | None = None, max: float | None = None) -> Symbol:
        for bound in (min, max):
            if bound is not None and not isinstance(bound, int | float):
                raise CellError(
                    f"{self.where}: clamp takes numbers as bounds; use torch.minimum and torch.maximum."
                )
        if min is None and max is None:
            raise CellError(f"{self.where}: clamp expected a lower or an upper bound, got neither.")
        bounds = tuple(None if bound is None else float(bound) for bound in (min, max))
        return Symbol(self, self.builder.add("clamp", self.index(value, "clamp"), values=bounds))

    def where_(self, condition: Any, value: Any, other: Any) -> Symbol:
        if not isinstance(condition, Condition):
            raise CellError(
                f"{self.where}: where expected a comparison first, got {type(condition).__name__}."
            )
        operands = (condition._index, self.index(value, "where"), self.index(other, "where"))
        return Symbol(self, self.builder.add("where", *operands))

    def declared(self, attribute: str, name: str) -> str:
        """`name`, if the class declares it in `attribute`."""
        known = getattr(self.cell_class, attribute)
        if name not in known:
            raise CellError(
                f"{self.where} uses {name!r}, which {declaring(self.cell_class, attribute)}.{attribute} does not "
                f"declare; add it there (it declares {', '.join(map(repr, known)) or 'nothing'})."
                f"{nearest(str(name), known)}"
            )
        return name

    def half(self, op: str, gate: str) -> str:
        gate = self.declared("gates", gate)
        if (op, gate) in self.halves:
            owner = declaring(self.cell_class, "gates")
            raise CellError(
                f"{self.where} uses the {op} half of gate {gate!r} of {owner}.gates twice; declare two gates."
            )
        self.halves.add((op, gate))
        return gate


class SymbolicAffine:
    """The `affine` notation on symbols."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, gate: str, recurrent: Symbol | None = None) -> Symbol:
        whole = self.input(gate)
        return (
            whole if recurrent is None else self._tracer.apply("add", whole, self._product(gate, recurrent))
        )

    def input(self, gate: str) -> Symbol:
        return self._tracer.symbol("input", name=self._tracer.half("input", gate))

    def hidden(self, gate: str, recurrent: Symbol) -> Symbol:
        product = self._product(gate, recurrent)
        self._tracer.hidden_bias_gates.add(gate)
        return product

    def _product(self, gate: str, recurrent: Symbol) -> Symbol:
        tracer = self._tracer
        if not isinstance(recurrent, Symbol) or isinstance(recurrent, Condition):
            raise CellError(
                f"{tracer.where}: affine({gate!r}, r) expected a value of this step as r, "
                f"got {type(recurrent).__name__}."
            )
        return tracer.symbol("hidden", tracer.index(recurrent, "affine"), name=tracer.half("hidden", gate))

    def vector(self, name: str) -> Symbol:
        return self._tracer.symbol("vector", name=self._tracer.declared("vectors", name))

    def norm(self, name: str, value: Symbol) -> Symbol:
        tracer = self._tracer
        name = tracer.declared("norms", name)
        if any(node.op == "norm" and node.name == name for node in tracer.builder.nodes):
            raise CellError(
                f"{tracer.where} uses norm {name!r} of {declaring(tracer.cell_class, 'norms')}.norms twice."
            )
        return tracer.symbol("norm", tracer.index(value, f"norm {name!r}"), name=name)


def declaring(cell_class: type, attribute: str) -> str:
    """The name of the class in whose body `attribute` stands."""
    return next(base.__name__ for base in cell_class.__mro__ if attribute in vars(base))


def trace(cell: Cell) -> Program:
    """Run `cell.step` once on symbols.

    Raises:
        CellError: `step` leaves the notation, or a declaration is not used, or is used twice.
    """
    cell_class = type(cell)
    tracer = Tracer(cell)
    symbols = [tracer.symbol("state", name=name) for name in cell_class.state]
    affine = SymbolicAffine(tracer)
    try:
        inspect.signature(cell.step).bind(affine, *symbols)
    except TypeError as error:
        raise CellError(
            f"{first_line(cell_class.step, tracer.name)}: expected step(self, affine, {', '.join(cell_class.state)}), "
            f"one operand per state of {declaring(cell_class, 'state')}.state."
        ) from error
    outputs = _outputs(tracer, cell.step(affine, *symbols))
    program = _prune(tracer, outputs)
    _check_all_used(cell_class, program)
    return program


def _outputs(tracer: Tracer, returned: Any) -> list[int]:
    """The nodes of the new states, in the order of `state`."""
    cell_class = tracer.cell_class
    where = returning_line(cell_class.step, tracer.name)
    returned = returned if isinstance(returned, tuple) else (returned,)
    if len(returned) != len(cell_class.state):
        raise CellError(
            f"{where} returned {len(returned)} values, but {declaring(cell_class, 'state')}.state declares "
            f"{len(cell_class.state)}: {', '.join(cell_class.state)}; return one new state for each, in that order."
        )
    for value in returned:
        if not isinstance(value, Symbol) or isinstance(value, Condition):
            raise CellError(
                f"{where} expected to return new states, made of what `step` was given, "
                f"got {type(value).__name__}."
            )
    return [value._index for value in returned]


def _prune(tracer: Tracer, outputs: list[int]) -> Program:
    """Only what the new states depend on, renumbered; every state stays."""
    nodes, cell_class = tracer.builder.nodes, tracer.cell_class
    needed = set(outputs) | set(range(len(cell_class.state)))
    for index in range(len(nodes) - 1, -1, -1):
        if index in needed:
            needed.update(nodes[index].args)
    position = {old: new for new, old in enumerate(sorted(needed))}
    kept = tuple(
        Node(node.op, tuple(position[arg] for arg in node.args), node.name, node.values)
        for node in (nodes[old] for old in sorted(needed))
    )
    return Program(
        gates=tuple(cell_class.gates),
        states=tuple(cell_class.state),
        nodes=kept,
        outputs=tuple(position[index] for index in outputs),
        hidden_bias_gates=tuple(gate for gate in cell_class.gates if gate in tracer.hidden_bias_gates),
        has_bias=cell_class.has_bias,
    )


def _check_all_used(cell_class: type[Cell], program: Program) -> None:
    used = {
        "gates": set(program.input_gates) | set(program.hidden_gates),
        "vectors": set(program.vectors),
        "norms": set(program.norms),
    }
    for attribute, names in used.items():
        for name in getattr(cell_class, attribute):
            if name not in names:
                owner = declaring(cell_class, attribute)
                raise CellError(
                    f"{owner}.{attribute} declares {name!r}, which {cell_class.__name__}.step does not use."
                )
    initial = {
        "initial_bias": (*(program.input_gates if program.has_bias else ()), *program.norms),
        "initial_vector": program.vectors,
    }
    for attribute, known in initial.items():
        for name in getattr(cell_class, attribute):
            if name not in known:
                raise CellError(
                    f"{declaring(cell_class, attribute)}.{attribute} names {name!r}, which has no such parameter in "
                    f"{cell_class.__name__}.{nearest(name, known)}"
                )
