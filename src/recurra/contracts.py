"""What the parts of recurra hand to each other: State, Batch, Step and Stepper.

B batch, T time, R rows, H hidden, V vocabulary, Tx source length, Ty target length.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from torch import Tensor
from torch.utils._pytree import GetAttrKey, register_pytree_node

from recurra.durable import check_readable, whole_path, write_output
from recurra.errors import ShapeError, StateError, quoted

DIRECTIONS = ("forward", "backward")
STATE_NAME = re.compile(rf"layers\.(0|[1-9][0-9]{{0,3}})\.({'|'.join(DIRECTIONS)})\.([^.]+)")


def row_numbers(rows: Tensor | Sequence[int], count: int, device: torch.device) -> Tensor:
    """Numbers of rows `[R]` (int64), from such numbers or from a mask `[B]` (bool), out of so many rows.

    Raises:
        ShapeError: they are neither, or out of range.
    """
    given = rows if isinstance(rows, Tensor) else torch.as_tensor(rows, device=device)
    if given.dtype == torch.bool and given.shape == (count,):
        return given.to(device).nonzero().squeeze(1)
    whole = not given.is_floating_point() and given.dtype != torch.bool
    if given.ndim != 1 or not (whole or given.numel() == 0):
        raise ShapeError(
            f"rows: expected whole numbers [R], or a mask [{count}] of bool, got {given.dtype} {list(given.shape)}."
        )
    given = given.to(device, torch.int64)
    if given.numel() and device.type == "cpu" and not torch.compiler.is_compiling():
        low, high = (int(bound) for bound in given.aminmax())
        if low < 0 or high >= count:
            raise ShapeError(f"rows: expected numbers from 0 to {count - 1}, got {low} to {high}.")
    return given


def shape_of(value: object) -> str:
    """The shape and the type of a tensor, `[2, 3] float32`; of anything else what Python writes."""
    if not isinstance(value, Tensor):
        return repr(value)
    return f"{list(value.shape)} {str(value.dtype).removeprefix('torch.')}"


@dataclass(frozen=True, repr=False)
class State:
    """The recurrent state of a stack of layers, an explicit value.

    `layers[layer][direction][name]` is `[B, H]`; direction 0 is forward, 1 backward. States are found by
    their names; the order of the names means nothing, and a file does not keep it.
    """

    layers: tuple[tuple[dict[str, Tensor], ...], ...]

    def __repr__(self) -> str:
        """The shapes; the tensors are in `layers` and `as_dict()`."""
        parts = [
            ", ".join(f"{k} {shape_of(v)}" for k, v in one.items()) for layer in self.layers for one in layer
        ]
        if len(set(parts)) > 1:
            return f"State({'; '.join(f'{k} {shape_of(v)}' for k, v in self.tensors())})"
        directions = " in two directions" if len(parts) > len(self.layers) else ""
        layers = "1 layer" if len(self.layers) == 1 else f"{len(self.layers)} layers"
        return f"State({layers}{directions}: {', '.join(parts[:1])})"

    @property
    def batch_size(self) -> int:
        """The number of rows B."""
        return next(self.tensors())[1].shape[0]

    def tensors(self) -> Iterator[tuple[str, Tensor]]:
        """Each tensor with its name, `layers.0.forward.h` for example."""
        for layer, directions in enumerate(self.layers):
            for direction, states in zip(DIRECTIONS, directions, strict=False):
                for name, tensor in states.items():
                    yield f"layers.{layer}.{direction}.{name}", tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> State:
        """The state with `function` applied to every tensor."""
        return State(
            tuple(
                tuple({name: function(tensor) for name, tensor in states.items()} for states in directions)
                for directions in self.layers
            )
        )

    def detach(self) -> State:
        """The same values, cut off from the graph: where truncated BPTT truncates."""
        return self.map(Tensor.detach)

    def select(self, rows: Tensor | Sequence[int]) -> State:
        """The given rows, in that order; they may repeat, shrink or grow.

        Args:
            rows: numbers of rows `[R]`, or a mask `[B]` (bool) for those where it is true.

        Raises:
            ShapeError: there are no such rows.
        """
        numbers = row_numbers(rows, self.batch_size, next(self.tensors())[1].device)
        return self.map(lambda tensor: tensor.index_select(0, numbers))

    def where(self, mask: Tensor, other: State) -> State:
        """Rows of this state where `mask` `[B]` (bool) is true, rows of `other` elsewhere.

        Raises:
            StateError: the two states differ in layers, directions, names or shapes, or `mask` is not `[B]`.
        """
        if mask.shape != (self.batch_size,):
            raise StateError(f"mask: expected [{self.batch_size}], a row each, got {list(mask.shape)}.")
        mine, theirs = dict(self.tensors()), dict(other.tensors())
        if {k: v.shape for k, v in mine.items()} != {k: v.shape for k, v in theirs.items()}:
            raise StateError("other: expected a State of the same layers, names and shapes as this one.")
        return State(
            tuple(
                tuple(
                    {
                        name: torch.where(mask[:, None], tensor, theirs_here[name])
                        for name, tensor in here.items()
                    }
                    for here, theirs_here in zip(mine_layer, theirs_layer, strict=True)
                )
                for mine_layer, theirs_layer in zip(self.layers, other.layers, strict=True)
            )
        )

    def to(self, *args: Any, **kwargs: Any) -> State:
        """`Tensor.to` of every tensor: device or dtype."""
        return self.map(lambda tensor: tensor.to(*args, **kwargs))

    def as_dict(self) -> dict[str, Tensor]:
        """Every tensor by its name, as `save` writes them."""
        return dict(self.tensors())

    @classmethod
    def from_dict(cls, tensors: Mapping[str, Tensor]) -> State:
        """The inverse of `as_dict`, whatever the order of `tensors`.

        Raises:
            StateError: a name is not of the form `layers.<n>.<direction>.<state>`, or the layers differ in
                their directions.
        """
        layers: dict[int, dict[str, dict[str, Tensor]]] = {}
        for key, tensor in tensors.items():
            parts = STATE_NAME.fullmatch(key)
            if parts is None:
                raise StateError(
                    f"{quoted(key)} is not the name of a state; expected layers.<n>.<direction>.<name>."
                )
            layers.setdefault(int(parts[1]), {}).setdefault(parts[2], {})[parts[3]] = tensor
        if sorted(layers) != list(range(len(layers))) or not layers:
            raise StateError(
                "the state's layers are not numbered 0, 1, 2, ...; the file is damaged or foreign."
            )
        _check_directions(layers)
        return cls(
            tuple(
                tuple(layers[index][direction] for direction in DIRECTIONS if direction in layers[index])
                for index in range(len(layers))
            )
        )

    def save(self, path: str | Path) -> None:
        """Write the state as safetensors: to a temporary file, flushed to the disk, then renamed.

        Raises:
            OSError: the disk is full or refuses; `path` is then what it was before.
        """
        from safetensors.torch import save

        tensors = {name: tensor.detach().contiguous().clone() for name, tensor in self.tensors()}
        write_output(path, save(tensors))

    @classmethod
    def load(cls, path: str | Path) -> State:
        """Read what `save` wrote.

        Raises:
            StateError: the file is missing, damaged or foreign.
        """
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            check_readable(whole_path(path))
            tensors = load_file(path)
        except (SafetensorError, OSError, ValueError, RuntimeError) as error:
            raise StateError(f"{path}: not a saved state ({error}).") from error
        try:
            return cls.from_dict(tensors)
        except StateError as error:
            raise StateError(f"{path}: {error}") from error


def _check_directions(layers: Mapping[int, Mapping[str, object]]) -> None:
    """Raises StateError unless all layers have the same directions, forward among them.

    Their states may differ, as they do in a stack of different cells; what is to run them compares the names.
    """
    for index in range(len(layers)):
        if layers[index].keys() != layers[0].keys() or "forward" not in layers[index]:
            raise StateError(
                f"the state's layer {index} has the directions {', '.join(sorted(layers[index]))}; expected forward, "
                "or forward and backward, the same in all layers."
            )


# So that torch.export, torch.func and their like see the tensors inside.
register_pytree_node(
    State,
    lambda state: ([state.layers], None),
    lambda children, _: State(*children),
    serialized_type_name="recurra.State",
    flatten_with_keys_fn=lambda state: ([(GetAttrKey("layers"), state.layers)], None),
    to_dumpable_context=lambda _: "",
    from_dumpable_context=lambda _: None,
)


Inputs = Tensor | dict[str, Tensor]
"""What a model reads: one tensor, or several by name. Their first dimension is the rows."""


@dataclass(frozen=True, repr=False)
class Batch:
    """Rows to train on, to score or to read from.

    Attributes:
        inputs: ids `[B, T]` (int64), -1 standing for the zero input vector with which a sequence starts; note sets
            `[B, T, V]` (0 or 1), frames `[B, T, F]`, labels `[B]`, pictures; several by name where a model reads
            several.
        targets: ids `[B, Ty]`, classes `[B]`, 0/1 rows `[B, Ty, V]`, or numbers; what lies past a row's length is
            not read. None where a model is only used.
        tokens: the true number of targets, padding not counted (note sets: of steps).
        lengths: of the inputs `[B]` (int64), or None where every row is T long.
        target_lengths: of the targets `[B]` (int64), or None where they are as long as the inputs.
        continues: the rows continue those of the batch before, so the state is carried.
    """

    inputs: Inputs
    targets: Tensor | None = None
    tokens: int = 0
    lengths: Tensor | None = None
    target_lengths: Tensor | None = None
    continues: bool = False

    @classmethod
    def of_rows(cls, rows: int, device: torch.device | str = "cpu") -> Batch:
        """Rows without any input: what a language model continues from its start."""
        return cls(torch.empty(rows, 0, dtype=torch.int64, device=device))

    def __repr__(self) -> str:
        """The shapes of the tensors, where there are any, and the other values."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        if not isinstance(self.inputs, Tensor):
            values["inputs"] = {name: shape_of(tensor) for name, tensor in self.inputs.items()}
        named = [f"{name}={shape_of(value)}" for name, value in values.items() if value is not None]
        return f"Batch({', '.join(named)})"

    def __len__(self) -> int:
        first = self.inputs if isinstance(self.inputs, Tensor) else next(iter(self.inputs.values()))
        return first.shape[0]

    def present(self) -> Tensor | None:
        """The mask of true target steps, `[B, Ty]` (bool); None where every step of every row is one.

        Where a target is not a sequence, it is the mask of true input steps, `[B, T]`.
        """
        lengths = self.lengths if self.target_lengths is None else self.target_lengths
        if lengths is None:
            return None
        by_step = self.targets is not None and self.targets.ndim > 1
        sequence = self.targets if by_step else self.inputs
        if not isinstance(sequence, Tensor):
            raise ShapeError("present: several inputs by name have no common steps; use their own lengths.")
        return torch.arange(sequence.shape[1], device=lengths.device) < lengths[:, None]

    def to(self, device: torch.device) -> Batch:
        """The batch on a device."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True), self.tokens)

    def shard(self, rank: int, world: int) -> Batch:
        """Every `world`-th row, beginning with row `rank`: the share of one of `world` processes.

        `tokens` of a share counts its own targets, so those of all shares add up to the batch's.

        Raises:
            ShapeError: `rank` is not from 0 to `world` - 1.
        """
        if not 0 <= rank < world:
            raise ShapeError(f"rank: expected 0 to {world - 1}, got {rank}.")
        share = self._map(lambda tensor: tensor[rank::world], 0)
        if self.targets is None:
            return share
        mask = share.present() if self.targets.ndim > 1 else None
        steps = self.targets.shape[1] if self.targets.ndim > 1 else 1
        return replace(share, tokens=len(share) * steps if mask is None else int(mask.sum()))

    def _map(self, function: Callable[[Tensor], Tensor], tokens: int) -> Batch:
        def each(tensor: Tensor | None) -> Tensor | None:
            return None if tensor is None else function(tensor)

        inputs = self.inputs
        return replace(
            self,
            inputs=function(inputs)
            if isinstance(inputs, Tensor)
            else {k: function(v) for k, v in inputs.items()},
            targets=each(self.targets),
            tokens=tokens,
            lengths=each(self.lengths),
            target_lengths=each(self.target_lengths),
        )


@dataclass(frozen=True)
class Step:
    """What a model says before one symbol.

    Attributes:
        log_probs: `[R, V]`, natural logarithms; rows sum to one over V, or, for note sets, are the
            log-probability of each key being on.
        state: opaque to the caller; goes back into `Stepper.step` and `Stepper.select`.
        attention: `[R, Tx]`, or None.
        distribution: how the symbols of this step are distributed: "categorical", one of V, or "bernoulli", each of V
            keys on or off by itself.
    """

    log_probs: Tensor
    state: Any
    attention: Tensor | None = None
    distribution: Literal["categorical", "bernoulli"] = "categorical"


class Stepper(Protocol):
    """What decoding needs of a model, bound to its inputs."""

    def start(self) -> Step:
        """The distribution over the first symbol, one row per input, after the zero input vector."""
        ...

    def step(self, symbols: Tensor, state: Any) -> Step:
        """The distribution after `symbols`: ids `[R]`, or note sets `[R, V]`."""
        ...

    def select(self, state: Any, rows: Tensor) -> Any:
        """The given rows `[R]` of a state; they may repeat, shrink or grow."""
        ...
