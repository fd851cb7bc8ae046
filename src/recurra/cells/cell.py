"""Cell: one time step, written as its equations. A subclass is names and one method, `step`.

B batch, I input, H hidden, rows = gates × H.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from recurra.cells.program import Program
from recurra.cells.trace import trace
from recurra.errors import CellError, ShapeError

NORM_EPSILON = 1e-5


class Cell(nn.Module):
    """The base of all cells.

    A subclass declares names and computes one step with `affine`, in which x_t is the input of the step:

    - `affine(gate, r)`: W_gate [r, x_t] + b_gate; `affine(gate)` leaves the recurrent operand out;
    - `affine.input(gate)` and `affine.hidden(gate, r)`: the two halves apart, the second with its own bias;
    - `affine.vector(name)`: a per-unit vector; `affine.norm(name, value)`: a layer norm.

    The parameters follow from what `step` uses: `input_weight` [rows, I], `hidden_weight` [rows, H], `bias`
    and `hidden_bias` [rows], `vector_<name>`, `norm_<name>_gain` and `norm_<name>_shift` [H]. Rows stand in
    the order of `gates`, H for each gate that uses that half; what no gate uses is None.

    Initial values: input weights Glorot-uniform and hidden weights orthogonal, each gate by itself; biases 0
    but for `initial_bias`; vectors uniform in ±1/√H but for `initial_vector`; gains 1, shifts 0.

    Args:
        input_size: width I of x_t, at least 1.
        hidden_size: width H of every state, at least 1.

    Raises:
        ShapeError: a size is not a positive integer.
        CellError: `step` leaves the notation; the message names the class that declared what is wrong.
    """

    gates: ClassVar[tuple[str, ...]] = ()
    state: ClassVar[tuple[str, ...]] = ("h",)
    vectors: ClassVar[tuple[str, ...]] = ()
    norms: ClassVar[tuple[str, ...]] = ()
    initial_bias: ClassVar[Mapping[str, float]] = {}
    initial_vector: ClassVar[Mapping[str, float]] = {}
    has_bias: ClassVar[bool] = True

    program: Program

    def __init__(self, input_size: int, hidden_size: int) -> None:
        super().__init__()
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ShapeError(f"{name}: expected a whole number of at least 1, got {size!r}.")
        for name in ("gates", "state", "vectors", "norms"):
            _check_names(f"{type(self).__name__}.{name}", getattr(self, name))
        self.input_size = input_size
        self.hidden_size = hidden_size
        self.program = trace(self)
        self._declare_parameters()
        self.reset_parameters()

    def step(self, affine: Any, *states: Any) -> Any:
        """The new state, or the tuple of new states, in the order of `state`."""
        raise CellError(f"{type(self).__name__} defines no step(self, affine, {', '.join(self.state)}).")

    def _declare_parameters(self) -> None:
        program, hidden = self.program, self.hidden_size
        input_rows, hidden_rows = len(program.input_gates) * hidden, len(program.hidden_gates) * hidden
        shapes: dict[str, tuple[int, ...] | None] = {
            "input_weight": (input_rows, self.input_size) if input_rows else None,
            "hidden_weight": (hidden_rows, hidden) if hidden_rows else None,
            "bias": (input_rows,) if input_rows and self.has_bias else None,
            "hidden_bias": (len(program.hidden_bias_gates) * hidden,)
            if program.hidden_bias_gates and self.has_bias
            else None,
        }
        shapes |= {f"vector_{name}": (hidden,) for name in program.vectors}
        for name in program.norms:
            shapes |= {f"norm_{name}_gain": (hidden,), f"norm_{name}_shift": (hidden,)}
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else nn.Parameter(torch.empty(shape)))

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's generator."""
        program, bound = self.program, self.hidden_size**-0.5
        for gate in program.input_gates:
            nn.init.xavier_uniform_(self.rows("input_weight", gate))
            if self.bias is not None:
                self.rows("bias", gate).fill_(self.initial_bias.get(gate, 0.0))
        for gate in program.hidden_gates:
            nn.init.orthogonal_(self.rows("hidden_weight", gate))
        if self.hidden_bias is not None:
            self.get_parameter("hidden_bias").zero_()
        for name in program.vectors:
            vector = self.get_parameter(f"vector_{name}")
            if name in self.initial_vector:
                vector.fill_(self.initial_vector[name])
            else:
                vector.uniform_(-bound, bound)
        for name in program.norms:
            self.get_parameter(f"norm_{name}_gain").fill_(1.0)
            self.get_parameter(f"norm_{name}_shift").fill_(self.initial_bias.get(name, 0.0))

    def rows(self, parameter: str, gate: str) -> Tensor:
        """The rows `[H, ...]` of one gate, a view into one of the four parameters that have rows."""
        gates = {
            "input_weight": self.program.input_gates,
            "bias": self.program.input_gates,
            "hidden_weight": self.program.hidden_gates,
            "hidden_bias": self.program.hidden_bias_gates,
        }[parameter]
        first = gates.index(gate) * self.hidden_size
        return self.get_parameter(parameter)[first : first + self.hidden_size]

    def named_tensors(self) -> dict[str, Tensor]:
        """The parameters that exist, by name, as a backend takes them."""
        return dict(self.named_parameters(recurse=False))

    def forward(self, x_t: Tensor, state: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """One step.

        Args:
            x_t: `[B, I]`.
            state: the state `[B, H]`, or the sequence of states where there are several.

        Returns:
            The new state, or the tuple of new states; the first is the output.

        Raises:
            ShapeError: a shape does not fit.
        """
        states = (state,) if isinstance(state, Tensor) else tuple(state)
        if len(states) != len(self.state):
            raise ShapeError(
                f"state: expected {len(self.state)} ({', '.join(self.state)}), got {len(states)}."
            )
        if x_t.ndim != 2 or x_t.shape[1] != self.input_size:
            raise ShapeError(f"x_t: expected [batch, {self.input_size}], got {list(x_t.shape)}.")
        for name, value in zip(self.state, states, strict=True):
            if value.shape != (x_t.shape[0], self.hidden_size):
                raise ShapeError(
                    f"{name}: expected [{x_t.shape[0]}, {self.hidden_size}], got {list(value.shape)}."
                )
        new = self.step(_Affine(self, x_t), *states)
        if isinstance(new, Tensor):
            return new.expand_as(states[0])  # a new state may not depend on the row at all
        return tuple(value.expand_as(old) for value, old in zip(new, states, strict=True))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


def with_initial_bias(cell: type[Cell], values: Mapping[str, float]) -> type[Cell]:
    """A variant of a cell that differs in what some of its biases start with.

    Args:
        cell: the cell's class.
        values: by the name of a gate or, for its shift, of a norm.

    Raises:
        CellError: when the variant is made up, if the cell has no such bias.
    """
    return type(cell.__name__, (cell,), {"initial_bias": {**cell.initial_bias, **values}})


def _check_names(what: str, declared: Any) -> None:
    """Raise unless `declared` is a tuple of distinct names; `state` needs at least one."""
    named = isinstance(declared, tuple) and all(
        isinstance(name, str) and name.isidentifier() for name in declared
    )
    if not named or len(set(declared)) != len(declared) or (what.endswith(".state") and not declared):
        raise CellError(f"{what}: expected a tuple of distinct names, got {declared!r}.")


class _Affine:
    """The `affine` notation on tensors."""

    def __init__(self, cell: Cell, x_t: Tensor) -> None:
        self._cell = cell
        self._x = x_t

    def __call__(self, gate: str, recurrent: Tensor | None = None) -> Tensor:
        whole = self.input(gate)
        return whole if recurrent is None else whole + self._product(gate, recurrent)

    def input(self, gate: str) -> Tensor:
        cell = self._cell
        bias = None if cell.bias is None else cell.rows("bias", gate)
        return functional.linear(self._x, cell.rows("input_weight", gate), bias)

    def hidden(self, gate: str, recurrent: Tensor) -> Tensor:
        product = self._product(gate, recurrent)
        return product if self._cell.hidden_bias is None else product + self._cell.rows("hidden_bias", gate)

    def _product(self, gate: str, recurrent: Tensor) -> Tensor:
        return functional.linear(recurrent, self._cell.rows("hidden_weight", gate))

    def vector(self, name: str) -> Tensor:
        return self._cell.get_parameter(f"vector_{name}")

    def norm(self, name: str, value: Tensor) -> Tensor:
        gain, shift = (self._cell.get_parameter(f"norm_{name}_{part}") for part in ("gain", "shift"))
        return functional.layer_norm(value, gain.shape, gain, shift, NORM_EPSILON)
