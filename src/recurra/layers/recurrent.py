"""Recurrent: cells over whole sequences, stacked, in one direction or two.

B batch, T time, I input, H hidden, D directions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.cell import Cell
from recurra.cells.program import Program
from recurra.contracts import DIRECTIONS, State
from recurra.engine import Call, Options, Result, choose
from recurra.engine.choose import check, check_name
from recurra.engine.chunks import run_chunks
from recurra.errors import CellError, ConfigError, ShapeError, StateError
from recurra.layers.dropout import dropout, dropout_mask
from recurra.layers.regularisation import Regularisation, check_probability
from recurra.layers.reversal import reverse
from recurra.layers.streaming import Streaming
from recurra.layers.unroll import Unrolled

INITIAL_STATES = ("zero", "learned", "random")
RANDOM_STATE_DEVIATION = 0.1

Gates = tuple[tuple[dict[str, Tensor], ...], ...]


class Recurrent(nn.Module):
    """A stack of recurrent layers over batches of sequences.

    Args:
        cell: the class of the cell, built in or your own.
        input_size: width I of the inputs.
        hidden_size: width H of every layer, or a list with one width per layer.
        num_layers: depth; may be left out where `hidden_size` is a list.
        bidirectional: run each layer in both directions; outputs are `[forward, backward]`, 2 × H wide.
        dropout: between layers, PyTorch's; a probability in [0, 1).
        regularisation: variational dropout, zoneout and weight drop.
        initial_state: "zero"; "learned", a parameter per layer, direction and state; or "random", normal with
            deviation 0.1 in training and zero in evaluation.
        stateful: carry the state, detached, from call to call; see `reset`.
        chunk: store states only every `chunk` steps and recompute those between in the backward pass. The
            gradients are exact.
        backend: "auto", or the name of a backend, which then runs or raises.
        residual: add each layer's input to its output, from the second layer on.

    Raises:
        ConfigError, ShapeError, CellError, BackendError: an argument is out of range, touches nothing, or
            contradicts another.
    """

    def __init__(
        self,
        cell: type[Cell],
        input_size: int,
        hidden_size: int | Sequence[int],
        num_layers: int = 1,
        bidirectional: bool = False,
        dropout: float = 0.0,
        regularisation: Regularisation | None = None,
        initial_state: str = "zero",
        stateful: bool = False,
        chunk: int | None = None,
        backend: str = "auto",
        residual: bool = False,
    ) -> None:
        super().__init__()
        if not (isinstance(cell, type) and issubclass(cell, Cell)):
            raise CellError(f"cell: expected a subclass of recurra.Cell, got {cell!r}.")
        self.input_size = input_size
        self.hidden_sizes = _widths(hidden_size, num_layers)
        self.num_layers = len(self.hidden_sizes)
        self.bidirectional = bidirectional
        self.directions = 2 if bidirectional else 1
        self.dropout = dropout
        self.regularisation = regularisation or Regularisation()
        self.initial_state = initial_state
        self.stateful = stateful
        self.chunk = chunk
        self.backend = backend
        self.residual = residual
        self._check_arguments()
        widths = (input_size, *(self.directions * size for size in self.hidden_sizes))
        self.cells = nn.ModuleList(
            nn.ModuleList(cell(widths[layer], size) for _ in range(self.directions))
            for layer, size in enumerate(self.hidden_sizes)
        )
        program = self._cell(0, 0).program
        self.regularisation.check(program, cell.__name__)
        self._programs = {mode: self.regularisation.program(program, mode) for mode in (False, True)}
        self.learned_states = nn.ParameterDict()
        if initial_state == "learned":
            for key, zero in self.zero_state(1).tensors():
                self.learned_states[key.replace(".", "_")] = nn.Parameter(zero[0].clone())
        self._carried: State | None = None
        check(self._programs[self.training], _options(next(self.parameters()), False, False), self.backend)

    def _check_arguments(self) -> None:
        check_probability("dropout", self.dropout)
        check_name(self.backend)
        if self.initial_state not in INITIAL_STATES:
            raise ConfigError(
                f"initial_state: expected one of {', '.join(INITIAL_STATES)}, got {self.initial_state!r}."
            )
        if self.chunk is not None and (not isinstance(self.chunk, int) or self.chunk < 1):
            raise ConfigError(
                f"chunk: expected a whole number of steps, at least 1, or None, got {self.chunk!r}."
            )
        if self.dropout and self.num_layers == 1:
            raise ConfigError(
                "dropout acts between layers and there is only one; use regularisation=, or more layers."
            )
        if self.residual and self.num_layers == 1:
            raise ConfigError(
                "residual joins a layer to the one below and there is only one; use more layers."
            )
        if self.residual and len(set(self.hidden_sizes)) > 1:
            raise ConfigError(
                f"residual: the layers must be equally wide, got hidden_size {list(self.hidden_sizes)}."
            )
        if self.bidirectional and self.stateful:
            raise ConfigError(
                "stateful: a bidirectional layer cannot carry its state from call to call, since the backward "
                "direction needs the whole sequence; use one direction."
            )

    # --- states -----------------------------------------------------------------------------------

    def _cell(self, layer: int, direction: int) -> Cell:
        cell = self.cells[layer][direction]  # type: ignore[index]
        assert isinstance(cell, Cell)
        return cell

    def zero_state(self, batch_size: int) -> State:
        """The state with which a sequence starts: zeros, `[B, H]` per layer, direction and name."""
        sample = next(self.parameters())
        return State(
            tuple(
                tuple(
                    {name: sample.new_zeros(batch_size, size) for name in self._cell(layer, direction).state}
                    for direction in range(self.directions)
                )
                for layer, size in enumerate(self.hidden_sizes)
            )
        )

    def first_state(self, batch_size: int, training: bool = False) -> State:
        """The state with which a call starts that is given none: zero, learned, or in training random."""
        zero = self.zero_state(batch_size)
        if self.initial_state == "learned":
            learned = {
                key: self.learned_states[key.replace(".", "_")].expand_as(value)
                for key, value in zero.tensors()
            }
            return State.from_dict(learned)
        if self.initial_state == "random" and training:
            return zero.map(lambda value: torch.randn_like(value) * RANDOM_STATE_DEVIATION)
        return zero

    def reset(self, rows: Tensor | None = None) -> None:
        """Forget the carried state, of all rows or of the given ones (`[R]` int64, or a mask `[B]`)."""
        if rows is None or self._carried is None:
            self._carried = None
            return
        fresh = self.first_state(self._carried.batch_size, self.training).detach()
        mask = rows
        if rows.dtype != torch.bool:
            mask = torch.zeros(self._carried.batch_size, dtype=torch.bool, device=rows.device)
            mask[rows] = True
        self._carried = fresh.where(mask, self._carried)

    def check_state(self, state: State, batch_size: int) -> None:
        """Raise unless `state` fits these layers and the batch.

        Raises:
            StateError: it does not; nothing is ever broadcast.
        """
        if not isinstance(state, State):
            raise StateError(f"state: expected a State, got {type(state).__name__}; see recurra.State.")
        zero = self.zero_state(0)
        expected = {key: tuple(value.shape[1:]) for key, value in zero.tensors()}
        given = {key: tuple(value.shape[1:]) for key, value in state.tensors()}
        if expected != given:
            raise StateError(
                f"state: expected {expected} (name: width), got {given}; it belongs to other layers."
            )
        dtype = next(zero.tensors())[1].dtype
        for key, value in state.tensors():
            if value.dtype != dtype:
                raise StateError(
                    f"state: {key} is {value.dtype}, the weights are {dtype}; use state.to({dtype})."
                )
            if value.shape[0] != batch_size:
                raise StateError(
                    f"state: {key} has {value.shape[0]} rows and the batch has {batch_size}; "
                    "select the rows of the state that go on, or call reset()."
                )

    # --- running ----------------------------------------------------------------------------------

    def choose_backend(self, return_gates: bool = False, ragged: bool = False) -> str:
        """The name of the backend that runs the first layer now; `ragged` says that lengths are given.

        Raises:
            BackendError: the backend asked for cannot run it.
        """
        program = self._programs[self.training]
        return str(
            choose(program, _options(next(self.parameters()), return_gates, ragged), self.backend).NAME
        )

    def forward(
        self, x: Tensor, state: State | None = None, lengths: Tensor | None = None, return_gates: bool = False
    ) -> Any:
        """Run the stack.

        Args:
            x: `[B, T, I]`.
            state: the state to start from; None for the initial state, or the carried one if `stateful`.
            lengths: `[B]`, each from 0 to T; None where every row is T long. Past its length a row's outputs
                are zero; its final state is the state at its length; at length 0 the state passes through.
            return_gates: also return the gates' values.

        Returns:
            Outputs `[B, T, D × H]` and the final State; with `return_gates` also `gates[layer][direction][name]`,
            each `[B, T, H]`.

        Raises:
            ShapeError: `x` or `lengths` does not fit.
            StateError: `state` does not fit; a carried state has another number of rows.
            BackendError: the named backend cannot run this call.
        """
        lengths = self._check_input(x, lengths)
        if state is None:
            state = (
                self._carried
                if self.stateful and self._carried is not None
                else self.first_state(x.shape[0], self.training)
            )
        self.check_state(state, x.shape[0])
        if lengths is not None:
            past = torch.arange(x.shape[1], device=x.device) >= lengths[:, None]
            x = x.masked_fill(past.unsqueeze(-1), 0.0)  # padding may hold anything, NaN included
        final, gates = [], []
        for layer in range(self.num_layers):
            outputs, states, layer_gates = self._run_layer(
                layer, x, state.layers[layer], lengths, return_gates
            )
            if self.residual and layer > 0:
                outputs = outputs + x
            if layer < self.num_layers - 1:
                outputs = dropout(outputs, self.dropout, self.training)
            final.append(states)
            gates.append(layer_gates)
            x = outputs
        x = self._variational(x, self.regularisation.output_dropout)
        new_state = State(tuple(final))
        if self.stateful:
            self._carried = new_state.detach()
        return (x, new_state, tuple(gates)) if return_gates else (x, new_state)

    def _check_input(self, x: Tensor, lengths: Tensor | None) -> Tensor | None:
        """`lengths` on the device of `x`, or None where it says nothing."""
        if x.ndim != 3 or x.shape[2] != self.input_size:
            raise ShapeError(f"x: expected [batch, time, {self.input_size}], got {list(x.shape)}.")
        parameter = next(self.parameters())
        if x.dtype != parameter.dtype and not torch.is_autocast_enabled(x.device.type):
            raise ShapeError(f"x: expected {parameter.dtype}, the type of the weights, got {x.dtype}.")
        if lengths is None:
            return None
        if not isinstance(lengths, Tensor):
            raise ShapeError(f"lengths: expected a tensor [batch], got {type(lengths).__name__}.")
        if lengths.shape != (x.shape[0],) or lengths.is_floating_point() or lengths.dtype == torch.bool:
            raise ShapeError(
                f"lengths: expected {x.shape[0]} whole numbers, got {lengths.dtype} {list(lengths.shape)}."
            )
        if lengths.numel() == 0:
            return None
        shortest, longest = (int(bound) for bound in lengths.aminmax())
        if shortest < 0 or longest > x.shape[1]:
            raise ShapeError(
                f"lengths: expected 0 to {x.shape[1]} (the time axis of x), got {shortest} to {longest}."
            )
        return None if shortest == x.shape[1] else lengths.to(x.device, torch.int64)

    def _variational(self, x: Tensor, rate: float) -> Tensor:
        """One mask `[B, features]` for all steps."""
        if not (self.training and rate):
            return x
        return x * dropout_mask(x, (x.shape[0], x.shape[2]), rate).unsqueeze(1)

    def _run_layer(
        self,
        layer: int,
        x: Tensor,
        states: tuple[dict[str, Tensor], ...],
        lengths: Tensor | None,
        return_gates: bool,
    ) -> tuple[Tensor, tuple[dict[str, Tensor], ...], tuple[dict[str, Tensor], ...]]:
        """Both directions of one layer."""
        x = self._variational(x, self.regularisation.input_dropout)
        outputs, finals, gates = [], [], []
        for direction in range(self.directions):
            backward = DIRECTIONS[direction] == "backward"
            cell = self._cell(layer, direction)
            initial = tuple(states[direction][name] for name in cell.state)
            result = self._run(cell, reverse(x, lengths) if backward else x, initial, lengths, return_gates)
            outputs.append(reverse(result.outputs, lengths) if backward else result.outputs)
            finals.append(dict(zip(cell.state, result.states, strict=True)))
            gates.append({k: reverse(v, lengths) if backward else v for k, v in result.gates.items()})
        joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return joined, tuple(finals), tuple(gates)

    def _run(
        self, cell: Cell, x: Tensor, states: tuple[Tensor, ...], lengths: Tensor | None, return_gates: bool
    ) -> Result:
        """One direction of one layer: masks drawn, backend chosen, chunks run."""
        program, parameters = self._programs[self.training], cell.named_tensors()
        backend = choose(program, _options(x, return_gates, lengths is not None), self.backend)
        batch, time, hidden = x.shape[0], x.shape[1], cell.hidden_size
        masks: dict[str, Tensor] = {}
        if self.training:
            masks = self.regularisation.masks(program, (batch, time, hidden), states[0])
            parameters = self.regularisation.drop_weights(parameters)
        if batch == 0 or time == 0:
            empty = {gate: x.new_zeros(batch, time, hidden) for gate in program.gates} if return_gates else {}
            return Result(x.new_zeros(batch, time, hidden), states, empty)
        call = Call(program, parameters, x, states, lengths, masks, return_gates)
        if self.chunk is None or self.chunk >= time:
            result: Result = backend.run(call)
            return result
        return run_chunks(backend.run, call, self.chunk)

    def streaming(self, weights: str | None = None) -> Streaming:
        """One step at a time, without gradients: `step(x_t, state=None)` → output, state.

        Args:
            weights: how the weight matrices are held: None as they are, or "float32", "bfloat16" or "int8" made
                from float32 parameters; what is multiplied and added stays float32.

        Raises:
            ConfigError: the layer is bidirectional; its backward direction needs the whole sequence.
        """
        return Streaming(self, weights)

    def unroll(self) -> Unrolled:
        """One step at a time, with gradients, in the mode of the layer: `step(x_t, state=None)` → output, state.

        Raises:
            ConfigError: the layer is bidirectional; its backward direction needs the whole sequence.
        """
        return Unrolled(self)

    @property
    def program(self) -> Program:
        """What a step computes in the mode of the layer, dropout and zoneout included."""
        return self._programs[self.training]

    def steps(
        self, make: Callable[[Program, dict[str, Tensor], int], Any], training: bool | None = None
    ) -> list[Any]:
        """What `make` makes of each layer's program, parameters and width; `training` is the layer's own if None."""
        program = self._programs[self.training if training is None else training]
        return [
            make(program, self._cell(layer, 0).named_tensors(), width)
            for layer, width in enumerate(self.hidden_sizes)
        ]

    def extra_repr(self) -> str:  # noqa: D102
        return (
            f"{type(self._cell(0, 0)).__name__}, {self.input_size}, {list(self.hidden_sizes)}, "
            f"bidirectional={self.bidirectional}, backend={self.backend!r}"
        )


def _options(x: Tensor, return_gates: bool, ragged: bool) -> Options:
    return Options(x.device.type, x.dtype, return_gates, ragged)


def _widths(hidden_size: int | Sequence[int], num_layers: int) -> tuple[int, ...]:
    """One width per layer."""
    if isinstance(num_layers, bool) or not isinstance(num_layers, int) or num_layers < 1:
        raise ConfigError(f"num_layers: expected a whole number of at least 1, got {num_layers!r}.")
    if not isinstance(hidden_size, Sequence):
        widths = (hidden_size,) * num_layers
    else:
        widths = tuple(hidden_size)
        if not widths or num_layers not in (1, len(widths)):
            raise ConfigError(
                f"hidden_size: expected {num_layers} widths, one per layer, got {list(widths)}."
            )
    for width in widths:
        if isinstance(width, bool) or not isinstance(width, int) or width < 1:
            raise ConfigError(f"hidden_size: expected a whole number of at least 1, got {width!r}.")
    return widths
