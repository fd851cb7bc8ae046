"""Cell: one time step, written as its equations. A subclass is names and one method, `step`.

B batch, I input, H hidden, rows = gates × H.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self, SupportsIndex

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from recurra.cells.checks import check_arguments, check_declarations, check_names_free, hooks_around
from recurra.cells.drawing import is_drawing
from recurra.cells.program import Program
from recurra.cells.traced import Traced, trace_in_mode
from recurra.cells.values import step_on_symbols
from recurra.cells.variants import reduced
from recurra.errors import CellError, ShapeError

NORM_EPSILON = 1e-5
# Hooks that only set the module's tensors anew, as they do before every call of a module.
REPARAMETRISING = (BasePruningMethod, WeightNorm, SpectralNorm)


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

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        """An empty module, so that a subclass may set modules and tensors before it calls `super().__init__`."""
        cell = super().__new__(cls)
        nn.Module.__init__(cell)
        return cell

    def __init__(self, input_size: int, hidden_size: int) -> None:
        for name, size in (("input_size", input_size), ("hidden_size", hidden_size)):
            if not isinstance(size, int) or isinstance(size, bool) or size < 1:
                raise ShapeError(f"{name}: expected a whole number of at least 1, got {size!r}.")
        check_declarations(self)
        self.input_size = input_size
        self.hidden_size = hidden_size
        self._traced = {True: trace_in_mode(self, True)}
        self._traced[False] = self._in_evaluation(self._traced[True])
        self._shapes = self._declare_parameters()
        if is_drawing():
            self.reset_parameters()

    def step(self, affine: Any, *states: Any) -> Any:
        """The new state, or the tuple of new states, in the order of `state`."""
        raise CellError(f"{type(self).__name__} defines no step(self, affine, {', '.join(self.state)}).")

    # --- programs ---------------------------------------------------------------------------------

    @property
    def program(self) -> Program:
        """What a step computes in the cell's present mode."""
        return self.program_in(self.training)

    def program_in(self, training: bool) -> Program:
        """What a step computes in training, or in evaluation.

        It is traced anew once an attribute that `step` has read is another value.

        Raises:
            CellError: `step` then leaves the notation, or wants other parameters than the cell has.
        """
        return self.traced_in(training).program

    def traced_in(self, training: bool) -> Traced:
        """The program of a mode, with what it was made from."""
        traced = self._traced[training]
        return traced if traced.changed(self) is None else self._trace_again(training)

    @property
    def digest(self) -> str:
        """SHA-256 of the programs of both modes, by which a run knows its cell again."""
        return "/".join(dict.fromkeys(self.program_in(training).digest for training in (True, False)))

    def _in_evaluation(self, training: Traced) -> Traced:
        """The program in evaluation, given the one in training; the same unless `step` asks for the mode.

        Raises:
            CellError: the two need different parameters.
        """
        if not training.asks_mode:
            return training
        evaluation = trace_in_mode(self, False)
        self._check_parameters(evaluation.program, training.program, "in evaluation", "in training")
        return evaluation

    def _trace_again(self, training: bool) -> Traced:
        before = self._traced[training]
        after = trace_in_mode(self, training)
        name = before.changed(self)
        self._check_parameters(after.program, before.program, f"now that self.{name} has changed", "before")
        self._traced[training] = after
        return after

    def _check_parameters(self, program: Program, other: Program, when: str, when_other: str) -> None:
        for kind in ("input_gates", "hidden_gates", "hidden_bias_gates", "vectors", "norms"):
            wanted, known = getattr(program, kind), getattr(other, kind)
            if set(wanted) != set(known):
                raise CellError(
                    f"{type(self).__name__}.step {when} uses the {kind.replace('_', ' ')} "
                    f"{', '.join(wanted) or 'none'}, and {when_other} {', '.join(known) or 'none'}; use the same ones "
                    "always, or make two cells."
                )

    # --- parameters -------------------------------------------------------------------------------

    def _declare_parameters(self) -> dict[str, torch.Size]:
        """Register what the program uses; returns the shapes of those that exist."""
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
        check_names_free(self, tuple(shapes))
        for name, shape in shapes.items():
            self.register_parameter(name, None if shape is None else nn.Parameter(torch.empty(shape)))
        gates = {
            "input_weight": program.input_gates,
            "bias": program.input_gates,
            "hidden_weight": program.hidden_gates,
            "hidden_bias": program.hidden_bias_gates,
        }
        self._first_rows = {
            (name, gate): place * hidden for name, known in gates.items() for place, gate in enumerate(known)
        }
        return {name: torch.Size(shape) for name, shape in shapes.items() if shape is not None}

    @torch.no_grad()
    def reset_parameters(self) -> None:
        """Draw all parameters afresh from torch's generator.

        Raises:
            CellError: a tensor is not a parameter but computed, by a parametrization or by pruning.
        """
        program, bound = self.program, self.hidden_size**-0.5
        for name in self._shapes:
            if not isinstance(getattr(self, name), nn.Parameter):
                raise CellError(
                    f"{type(self).__name__}.{name} is computed from other parameters, so it cannot be drawn afresh; "
                    "reset the cell before it is parametrized or pruned."
                )
        for gate in program.input_gates:
            nn.init.xavier_uniform_(self.rows("input_weight", gate))
            if self.bias is not None:
                self.rows("bias", gate).fill_(self.initial_bias.get(gate, 0.0))
        for gate in program.hidden_gates:
            nn.init.orthogonal_(self.rows("hidden_weight", gate))
        if "hidden_bias" in self._shapes:
            getattr(self, "hidden_bias").zero_()  # noqa: B009 - Module's attributes may be modules to a type checker
        for name in program.vectors:
            vector = getattr(self, f"vector_{name}")
            if name in self.initial_vector:
                vector.fill_(self.initial_vector[name])
            else:
                vector.uniform_(-bound, bound)
        for name in program.norms:
            getattr(self, f"norm_{name}_gain").fill_(1.0)
            getattr(self, f"norm_{name}_shift").fill_(self.initial_bias.get(name, 0.0))

    def rows(self, parameter: str, gate: str) -> Tensor:
        """The rows `[H, ...]` of one gate, a view into one of the four tensors that have rows."""
        return self._rows_of(getattr(self, parameter), parameter, gate)

    def _rows_of(self, tensor: Tensor, parameter: str, gate: str) -> Tensor:
        first = self._first_rows[parameter, gate]
        return tensor[first : first + self.hidden_size]

    def named_tensors(self) -> dict[str, Tensor]:
        """The tensors that a step uses, by name, as the attributes give them now.

        A backend takes these and not the registered parameters, so parametrizations, pruning and tied tensors are in
        them.

        Raises:
            CellError: one of them is missing, or of another shape, type or device than the others.
        """
        for hook in self._forward_pre_hooks.values():
            if isinstance(hook, REPARAMETRISING):
                hook(self, ())
        return self._tensors()

    def _tensors(self) -> dict[str, Tensor]:
        tensors: dict[str, Tensor] = {}
        for name, shape in self._shapes.items():
            tensor = getattr(self, name, None)
            if not isinstance(tensor, Tensor) or tensor.shape != shape:
                came = list(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
                raise CellError(
                    f"{type(self).__name__}.{name}: expected a tensor {list(shape)}, as its step uses it, got {came}."
                )
            tensors[name] = tensor
        if len({(tensor.dtype, tensor.device) for tensor in tensors.values()}) > 1:
            kinds = ", ".join(f"{name} {tensor.dtype} on {tensor.device}" for name, tensor in tensors.items())
            raise CellError(
                f"{type(self).__name__}: expected tensors of one type on one device, got {kinds}; use .to(...)."
            )
        return tensors

    @property
    def unseen_hooks(self) -> list[str]:
        """The kinds of hooks on the cell that run only where the cell itself is called."""
        return hooks_around(self, REPARAMETRISING)

    def forward(self, x_t: Tensor, state: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """One step.

        Args:
            x_t: `[B, I]`.
            state: the state `[B, H]`, or the sequence of states where there are several.

        Returns:
            The new state, or the tuple of new states; the first is the output.

        Raises:
            ShapeError: a shape or type does not fit.
        """
        if isinstance(state, Tensor):
            states: tuple[Tensor, ...] = (state,)
        elif isinstance(state, Iterable):
            states = tuple(state)
        else:
            raise ShapeError(
                f"state: expected a tensor or a sequence of tensors, got {type(state).__name__}."
            )
        check_arguments(self, x_t, states)
        affine = _Affine(self, x_t)
        if self.traced_in(self.training).on_tensors:
            new = self.step(affine, *states)
        else:
            new = step_on_symbols(self.step, affine, states, f"{type(self).__name__}.step")
        # A new state may not depend on the row at all; under autocast it keeps the old one's type.
        new_states = tuple(
            value.to(old.dtype).expand_as(old)
            for value, old in zip((new,) if isinstance(new, Tensor) else new, states, strict=True)
        )
        return new_states if len(new_states) > 1 else new_states[0]

    def __reduce_ex__(self, protocol: SupportsIndex) -> str | tuple[Any, ...]:
        """As of any object, but for classes that pickle would not find by their names."""
        return reduced(self, super().__reduce_ex__(protocol))

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}"


class _Affine:
    """The `affine` notation on tensors."""

    def __init__(self, cell: Cell, x_t: Tensor) -> None:
        self._cell = cell
        self._tensors = cell._tensors()
        self._x = x_t

    def __call__(self, gate: str, recurrent: Tensor | None = None) -> Tensor:
        whole = self.input(gate)
        return whole if recurrent is None else whole + self._product(gate, recurrent)

    def input(self, gate: str) -> Tensor:
        weight = self._rows("input_weight", gate)
        return functional.linear(self._x, weight, self._bias("bias", gate))

    def hidden(self, gate: str, recurrent: Tensor) -> Tensor:
        return self._product(gate, recurrent, self._bias("hidden_bias", gate))

    def _product(self, gate: str, recurrent: Tensor, bias: Tensor | None = None) -> Tensor:
        return functional.linear(recurrent, self._rows("hidden_weight", gate), bias)

    def _rows(self, name: str, gate: str) -> Tensor:
        return self._cell._rows_of(self._tensors[name], name, gate)

    def _bias(self, name: str, gate: str) -> Tensor | None:
        return self._rows(name, gate) if name in self._tensors else None

    def vector(self, name: str) -> Tensor:
        return self._tensors[f"vector_{name}"]

    def norm(self, name: str, value: Tensor) -> Tensor:
        gain, shift = (self._tensors[f"norm_{name}_{part}"] for part in ("gain", "shift"))
        return functional.layer_norm(value, gain.shape, gain, shift, NORM_EPSILON)
