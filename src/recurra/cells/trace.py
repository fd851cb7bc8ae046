"""Tracing: `step` is run on symbols, and what it did to them is the program."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

import torch
from torch import nn

from recurra.cells.instead import instead
from recurra.cells.program import Builder, Node, Program
from recurra.cells.source import failing_line, first_line, returning_line, running_line
from recurra.cells.symbols import Condition, Machine, Symbol, described, operand
from recurra.errors import CellError, RecurraError, nearest

if TYPE_CHECKING:
    from recurra.cells.cell import Cell

WEIGHTS = ("input_weight", "hidden_weight", "bias", "hidden_bias")


class Trace(NamedTuple):
    """What tracing a step finds.

    Attributes:
        program: what the step computes.
        on_tensors: whether plain tensors have all forms that the step uses; otherwise a cell by itself runs it
            on `values.Values`.
    """

    program: Program
    on_tensors: bool


class Tracer(Machine):
    """Builds a program while `step` runs."""

    def __init__(self, cell: Cell) -> None:
        self.cell_class = type(cell)
        self.name = f"{self.cell_class.__name__}.step"
        self.builder = Builder()
        self.halves: set[tuple[str, str]] = set()
        self.hidden_bias_gates: set[str] = set()
        self.modes = _modes()

    @property
    def where(self) -> str:
        """The line of `step`, or of what it calls, that is being traced."""
        return running_line(_run.__code__, self.cell_class.step, self.name)

    def symbol(self, op: str, *args: int, name: str = "") -> Symbol:
        """A symbol for a new node."""
        self._check_modes()
        return Symbol(self, self.builder.add(op, *args, name=name))

    def apply(self, op: str, operands: Sequence[Symbol | float], bounds: tuple[float | None, ...]) -> int:
        """The position of the operation's node."""
        self._check_modes()
        return self.builder.add(op, *(self._index(value) for value in operands), values=bounds)

    def _index(self, value: Symbol | float) -> int:
        if isinstance(value, Symbol):
            return value._value
        return self.builder.add("constant", values=(value,))

    def show(self, value: int) -> str:
        """The expression, its inner parts left out."""
        return self._expression(value, 4)

    def _expression(self, index: int, depth: int) -> str:
        node = self.builder.nodes[index]
        if node.op == "constant":
            return f"{node.values[0]:g}"
        inner = [self._expression(arg, depth - 1) if depth else "..." for arg in node.args]
        inner += [f"{bound}" for bound in node.values]
        if node.name:
            inner.insert(0, node.name)
        return node.name if node.op == "state" else f"{node.op}({', '.join(inner)})"

    def _check_modes(self) -> None:
        """Raise where an operation would be done in another mode of PyTorch than the step began in."""
        if _modes() != self.modes:
            raise CellError(
                f"{self.where}: torch.no_grad, torch.inference_mode and torch.autocast cannot be traced, since a "
                "program is the same in all modes; use them around the call of the layer."
            )

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
        """`gate`, if it is declared and this half of it is not used yet."""
        gate = self.declared("gates", gate)
        if (op, gate) in self.halves:
            owner = declaring(self.cell_class, "gates")
            raise CellError(
                f"{self.where} uses the {op} half of gate {gate!r} of {owner}.gates twice; declare two gates."
            )
        self.halves.add((op, gate))
        return gate


def _modes() -> tuple[bool, ...]:
    """The modes of PyTorch that change what an operation gives."""
    return (
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.is_autocast_enabled("cuda"),
    )


class SymbolicAffine:
    """The `affine` notation on symbols."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer

    def __call__(self, gate: str, recurrent: Symbol | None = None) -> Symbol:
        whole = self.input(gate)
        if recurrent is None:
            return whole
        return Symbol(self._tracer, self._tracer.apply("add", (whole, self._product(gate, recurrent)), ()))

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
                f"got {described(recurrent)}."
            )
        return tracer.symbol("hidden", self._index(recurrent, "affine"), name=tracer.half("hidden", gate))

    def _index(self, value: Any, what: str) -> int:
        return self._tracer._index(operand(self._tracer, value, what))

    def vector(self, name: str) -> Symbol:
        return self._tracer.symbol("vector", name=self._tracer.declared("vectors", name))

    def norm(self, name: str, value: Symbol) -> Symbol:
        tracer = self._tracer
        name = tracer.declared("norms", name)
        if any(node.op == "norm" and node.name == name for node in tracer.builder.nodes):
            raise CellError(
                f"{tracer.where} uses norm {name!r} of {declaring(tracer.cell_class, 'norms')}.norms twice."
            )
        return tracer.symbol("norm", self._index(value, f"norm {name!r}"), name=name)

    def __getattr__(self, name: str) -> NoReturn:
        raise CellError(
            f"{self._tracer.where}: `affine.{name}` is not in the notation; what is: affine(gate, r), affine(gate), "
            "affine.input(gate), affine.hidden(gate, r), affine.vector(name), affine.norm(name, value)."
        )


def declaring(cell_class: type, attribute: str) -> str:
    """The name of the class in whose body `attribute` stands."""
    return next(base.__name__ for base in cell_class.__mro__ if attribute in vars(base))


def trace(cell: Cell) -> Program:
    """The program of `cell.step`; as `trace_step`."""
    return trace_step(cell).program


def trace_step(cell: Cell) -> Trace:
    """Run `cell.step` on symbols, twice, to see that it computes the same both times.

    Raises:
        CellError: `step` leaves the notation or fails in another way, or a declaration is not used, or is used twice.
    """
    traced = _run(cell)
    if _run(cell) != traced:
        where = first_line(type(cell).step, f"{type(cell).__name__}.step")
        raise CellError(
            f"{where}: a second run computes something else; a step takes no random numbers and keeps no count, since "
            "what it computes is fixed when it is traced."
        )
    return traced


def _run(cell: Cell) -> Trace:
    cell_class = type(cell)
    before = dict(vars(cell))
    with torch.inference_mode(False), torch.enable_grad():
        tracer = Tracer(cell)
        symbols = [tracer.symbol("state", name=name) for name in cell_class.state]
        affine = SymbolicAffine(tracer)
        try:
            inspect.signature(cell.step).bind(affine, *symbols)
        except TypeError as error:
            raise CellError(
                f"{first_line(cell_class.step, tracer.name)}: expected step(self, affine, "
                f"{', '.join(cell_class.state)}), one operand per state of {declaring(cell_class, 'state')}.state."
            ) from error
        try:
            returned = cell.step(affine, *symbols)
        except RecurraError:
            raise
        except Exception as error:
            raise CellError(_failure(cell, tracer, error)) from error
    outputs = _outputs(tracer, returned)
    _check_attributes(cell, before, tracer)
    program = _prune(tracer, outputs)
    _check_all_used(cell_class, program)
    return Trace(program, tracer.on_tensors)


def _failure(cell: Cell, tracer: Tracer, error: Exception) -> str:
    """What an error of Python's or torch's inside `step` comes from."""
    where, name = failing_line(error, type(cell).step, tracer.name), type(cell).__name__
    missing = error.name if isinstance(error, AttributeError) and error.obj is cell else None
    if missing in WEIGHTS:
        return f"{where}: {name}.{missing} is made after the trace; a gate reads its own weights: affine(gate, r)."
    if missing is not None:
        known = {*vars(cell), *dir(type(cell))} - {*dir(nn.Module)}
        return (
            f"{where}: {name} has no attribute {missing!r} when its step is traced, by super().__init__(...); set "
            f"numbers and flags before that call, or in the class; what is learned is declared in `gates` and "
            f"`vectors`.{nearest(missing, sorted(known))}"
        )
    # Of what torch says where arguments do not fit, the rest is a list of those that would.
    said = next(iter(str(error).splitlines()), "").removesuffix(", but expected one of:")
    remedy = instead(said.partition("(")[0]) if isinstance(error, TypeError) else ""
    return f"{where}: {type(error).__name__}{': ' if said else ''}{said.rstrip('.')}{remedy}."


def _check_attributes(cell: Cell, before: dict[str, Any], tracer: Tracer) -> None:
    """Raise if `step` has changed its cell: run by a program, it would not."""
    for name, value in vars(cell).items():
        cached = isinstance(getattr(type(cell), name, None), cached_property)
        if not cached and before.get(name, tracer) is not value:
            raise CellError(
                f"{first_line(type(cell).step, tracer.name)}: step sets self.{name}, which a program does not do; "
                "what is carried from step to step is a state, declared in `state` and returned."
            )


def _outputs(tracer: Tracer, returned: Any) -> list[int]:
    """The nodes of the new states, in the order of `state`."""
    cell_class = tracer.cell_class
    where = returning_line(cell_class.step, tracer.name)
    returned = returned if isinstance(returned, tuple | list) else (returned,)
    if len(returned) != len(cell_class.state):
        raise CellError(
            f"{where} returned {_count(len(returned), 'value')}, but {declaring(cell_class, 'state')}.state declares "
            f"{len(cell_class.state)}: {', '.join(cell_class.state)}; return one new state for each, in that order."
        )
    for value in returned:
        if not isinstance(value, Symbol) or isinstance(value, Condition):
            raise CellError(
                f"{where} expected to return new states, made of what `step` was given, got {described(value)}"
                f"{'; write 0 * h + the number' if isinstance(value, int | float) else ''}."
            )
    return [tracer._index(operand(tracer, value, "the new states")) for value in returned]


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


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
