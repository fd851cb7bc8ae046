"""Recurrent: cells over whole sequences, stacked, in one direction or two.

B batch, T time, I input, H hidden, D directions.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from recurra.cells.cell import Cell
from recurra.cells.lookup import built_in
from recurra.cells.program import Program
from recurra.contracts import DIRECTIONS, State, row_numbers
from recurra.engine import Call, Layer, Options, Result, choose, run
from recurra.engine.choose import check
from recurra.engine.transformations import transformations
from recurra.errors import BackendError, CellError
from recurra.layers.arguments import (
    check_arguments,
    check_cell,
    check_input,
    check_lengths,
    check_state,
    widths,
)
from recurra.layers.dropout import dropout, dropout_mask
from recurra.layers.regularisation import Regularisation
from recurra.layers.reversal import reverse
from recurra.layers.streaming import Streaming
from recurra.layers.unroll import Unrolled

RANDOM_STATE_DEVIATION = 0.1

Gates = tuple[tuple[dict[str, Tensor], ...], ...]


class Recurrent(nn.Module):
    """A stack of recurrent layers over batches of sequences.

    Args:
        cell: the class of the cell, built in or your own; or the name of a built-in one, such as "lstm".
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
        cell: type[Cell] | str,
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
        cell = built_in(cell) if isinstance(cell, str) else cell
        check_cell(cell)
        self.input_size = input_size
        self.hidden_sizes = widths(hidden_size, num_layers)
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
        check_arguments(self)
        self._widths = (input_size, *(self.directions * size for size in self.hidden_sizes))
        self.cells = nn.ModuleList(
            nn.ModuleList(cell(self._widths[layer], size) for _ in range(self.directions))
            for layer, size in enumerate(self.hidden_sizes)
        )
        self.learned_states = nn.ParameterDict()
        if initial_state == "learned":
            for key, zero in self.zero_state(1).tensors():
                self.learned_states[key.replace(".", "_")] = nn.Parameter(zero[0].clone())
        self._carried: State | None = None
        self._starting_anew: Tensor | None = None  # [B], rows of the carried state that `reset` has forgotten
        self._programs: dict[tuple[int, int, bool], tuple[Program, Program]] = {}
        self._prepare()

    def _prepare(self) -> None:
        """Make all programs, and see that the named backend can run them; torch.compile finds both done."""
        for layer in range(self.num_layers):
            for direction in range(self.directions):
                for training in (not self.training, self.training):
                    program = self._program(layer, direction, training)
                check(program, self._options(self._sample(), (), False, False), self.backend)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._prepare()

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Recurrent:
        """What `.to()`, `.double()` and their like call; the carried state goes with the weights."""
        super()._apply(fn, recurse)
        self._carried = None if self._carried is None else self._carried.map(fn)
        self._starting_anew = None if self._starting_anew is None else fn(self._starting_anew)
        return self

    # --- layers -----------------------------------------------------------------------------------

    def _cell(self, layer: int, direction: int) -> Cell:
        # Not `self.cells[layer][direction]`, which takes as long as a small product; a call asks several times.
        cell = self.cells._modules[str(layer)]._modules[str(direction)]
        sizes = self._widths[layer], self.hidden_sizes[layer]
        if not isinstance(cell, Cell) or (cell.input_size, cell.hidden_size) != sizes:
            given = (
                f"{cell.input_size} and {cell.hidden_size}" if isinstance(cell, Cell) else "another module"
            )
            raise CellError(
                f"cells[{layer}][{direction}]: expected a cell with input_size {sizes[0]} and hidden_size {sizes[1]}, "
                f"got {type(cell).__name__} with {given}."
            )
        return cell

    def _program(self, layer: int, direction: int, training: bool) -> Program:
        """What a step computes, dropout and zoneout included."""
        cell = self._cell(layer, direction)
        program = cell.program_in(cell.training if training == self.training else training)
        known = self._programs.get((layer, direction, training))
        if known is None or known[0] is not program:
            self.regularisation.check(program, type(cell).__name__)
            known = program, self.regularisation.program(program, training)
            self._programs[layer, direction, training] = known
        return known[1]

    def layer(self, number: int, direction: int = 0, training: bool | None = None) -> Layer:
        """What runs through time as one direction of a layer: its cell, its program and its tensors as they are now.

        Args:
            number: of the layer, from 0.
            direction: 0 is forward, 1 backward.
            training: as in training or as in evaluation; None for the mode that the layer is in.

        Raises:
            CellError: the cell's step or its tensors have been changed into something that cannot run.
            BackendError: the cell has hooks that would not run.
        """
        training = self.training if training is None else training
        cell = self._cell(number, direction)
        program = self._program(number, direction, training)
        if self.backend != "textbook" and cell.unseen_hooks:
            raise BackendError(
                f"cells[{number}][{direction}] has a {cell.unseen_hooks[0]}, which runs only where the cell itself is "
                "called; use backend='textbook', which calls it at every step, or register it on the layer."
            )
        changes = self.regularisation.changes(program, training)
        return Layer(cell, program, cell.named_tensors(), changes)

    # --- states -----------------------------------------------------------------------------------

    def _sample(self, like: Tensor | None = None) -> Tensor:
        """A tensor of the layers' type and device: a parameter; where they have none `like`, or PyTorch's defaults."""
        known = [one for one in (self._parameter(), like) if one is not None]
        return known[0] if known else torch.empty(0)

    def _parameter(self) -> Tensor | None:
        """A parameter, or None; the first cell's where it has one of its own, since that takes no search."""
        for parameter in self._cell(0, 0)._parameters.values():
            if parameter is not None:
                return parameter
        return next(self.parameters(), None)

    def zero_state(self, batch_size: int, like: Tensor | None = None) -> State:
        """The state with which a sequence starts: zeros, `[B, H]` per layer, direction and name.

        `like` gives type and device to the states of cells that have no parameters.
        """
        sample = self._sample(like)
        return State(
            tuple(
                tuple(
                    {name: sample.new_zeros(batch_size, size) for name in self._cell(layer, direction).state}
                    for direction in range(self.directions)
                )
                for layer, size in enumerate(self.hidden_sizes)
            )
        )

    def first_state(self, batch_size: int, training: bool = False, like: Tensor | None = None) -> State:
        """The state with which a call starts that is given none: zero, learned, or in training random."""
        zero = self.zero_state(batch_size, like)
        if self.initial_state == "learned":
            learned = {
                key: self.learned_states[key.replace(".", "_")].expand_as(value)
                for key, value in zero.tensors()
            }
            return State.from_dict(learned)
        if self.initial_state == "random" and training:
            return zero.map(lambda value: torch.randn_like(value) * RANDOM_STATE_DEVIATION)
        return zero

    def reset(self, rows: Tensor | Sequence[int] | None = None) -> None:
        """Forget the carried state: those rows start the next call as a sequence starts.

        Args:
            rows: numbers of rows `[R]`, or a mask `[B]` (bool); None for all.

        Raises:
            ShapeError: there are no such rows.
        """
        if rows is None or self._carried is None:
            self._carried = self._starting_anew = None
            return
        mask = self._starting_anew
        if mask is None:
            device = next(self._carried.tensors())[1].device
            mask = torch.zeros(self._carried.batch_size, dtype=torch.bool, device=device)
        mask = mask.clone()
        mask[row_numbers(rows, self._carried.batch_size, mask.device)] = True
        self._starting_anew = mask

    def _start(self, x: Tensor) -> State:
        """The state with which a call starts that is given none."""
        if self._carried is None or not self.stateful:
            return self.first_state(x.shape[0], self.training, like=x)
        carried = self._carried.map(_usable)
        if self._starting_anew is None:
            return carried
        # Drawn or looked up now, so that a learned state has its present value and gets its gradient.
        fresh = self.first_state(carried.batch_size, self.training, like=x)
        return fresh.where(_usable(self._starting_anew), carried)

    def check_state(self, state: State, batch_size: int) -> None:
        """Raise unless `state` fits these layers and the batch.

        Raises:
            StateError: it does not; nothing is ever broadcast.
        """
        check_state(self, state, batch_size)

    # --- running ----------------------------------------------------------------------------------

    def choose_backend(self, return_gates: bool = False, ragged: bool = False) -> str:
        """The name of the backend that runs the first layer now; `ragged` says that lengths are given.

        Raises:
            BackendError: the backend asked for cannot run it.
        """
        program = self._program(0, 0, self.training)
        changes = self.regularisation.changes(program, self.training)
        options = self._options(self._sample(), changes, return_gates, ragged)
        return str(choose(program, options, self.backend).NAME)

    def _options(self, x: Tensor, changes: tuple[str, ...], return_gates: bool, ragged: bool) -> Options:
        chunked = self.chunk is not None
        return Options(x.device.type, x.dtype, return_gates, ragged, chunked, changes, transformations())

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
        check_input(x, self.input_size, self._parameter())
        lengths = check_lengths(lengths, x)
        if state is None:
            state = self._start(x)
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
            self._carried, self._starting_anew = new_state.detach(), None
        return (x, new_state, tuple(gates)) if return_gates else (x, new_state)

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
            read = reverse(x, lengths) if backward else x
            result = self._run(self.layer(layer, direction), read, initial, lengths, return_gates)
            outputs.append(reverse(result.outputs, lengths) if backward else result.outputs)
            finals.append(dict(zip(cell.state, result.states, strict=True)))
            gates.append({k: reverse(v, lengths) if backward else v for k, v in result.gates.items()})
        joined = outputs[0] if len(outputs) == 1 else torch.cat(outputs, dim=-1)
        return joined, tuple(finals), tuple(gates)

    def _run(
        self,
        layer: Layer,
        x: Tensor,
        states: tuple[Tensor, ...],
        lengths: Tensor | None,
        return_gates: bool,
    ) -> Result:
        """One direction of one layer: masks drawn, backend chosen, chunks run."""
        parameters, shape = layer.parameters, (x.shape[0], x.shape[1], layer.cell.hidden_size)
        masks: dict[str, Tensor] = {}
        if self.training:
            masks = self.regularisation.masks(layer.program, shape, states[0])
            parameters = self.regularisation.drop_weights(parameters)
        call = Call(layer.program, parameters, x, states, lengths, masks, return_gates, layer.cell)
        options = self._options(x, layer.changes, return_gates, lengths is not None)
        return run(call, options, self.backend, self.chunk)

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

    def extra_repr(self) -> str:  # noqa: D102
        names = ("bidirectional", "dropout", "initial_state", "stateful", "chunk", "backend", "residual")
        defaults = {name: one.default for name, one in inspect.signature(Recurrent).parameters.items()}
        values = {name: getattr(self, name) for name in names}
        said = [f"{name}={value!r}" for name, value in values.items() if value != defaults[name]]
        rates = [
            f"{field.name}={getattr(self.regularisation, field.name)!r}"
            for field in dataclasses.fields(self.regularisation)
            if getattr(self.regularisation, field.name)
        ]
        sizes = f"{self.input_size}, {list(self.hidden_sizes)}"
        return ", ".join([type(self._cell(0, 0)).__name__, sizes, *said, *rates])


def _usable(tensor: Tensor) -> Tensor:
    """The tensor, copied where it was made in inference mode, outside which autograd cannot work with it."""
    return tensor.clone() if tensor.is_inference() and not torch.is_inference_mode_enabled() else tensor
