"""Unrolling: a stack of recurrent layers one step at a time, with gradients.

For loops that cannot be handed over whole, because a step's input depends on what the step before gave: input
feeding, scheduled sampling, memory controllers. B batch, I input, H hidden.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from torch import Tensor

from recurra.contracts import State
from recurra.engine.steps import unrolled_step
from recurra.errors import ShapeError
from recurra.layers.dropout import dropout, dropout_mask
from recurra.layers.snapshot import Snapshot, check_one_direction

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


class Unrolled:
    """What `Recurrent.unroll()` returns: the layers step by step, in the mode they are in, weights packed once.

    Step by step it computes what a call over the whole sequence does. Dropout masks are drawn at the first step
    and hold for all of them; zoneout and dropout between layers are drawn at each.

    Raises:
        ConfigError: the layers are bidirectional.
    """

    def __init__(self, rnn: Recurrent) -> None:
        check_one_direction(rnn, "unroll")
        self._rnn = rnn
        self._training = rnn.training
        layers = [rnn.layer(number) for number in range(rnn.num_layers)]
        if rnn.training:
            drop = rnn.regularisation.drop_weights
            layers = [replace(layer, parameters=drop(layer.parameters)) for layer in layers]
        self._programs = [layer.program for layer in layers]
        self._snapshot = Snapshot(rnn, "unroll", rnn.training)
        self._steps = [unrolled_step(layer, rnn.backend) for layer in layers]
        self._masks: dict[str, Tensor] = {}  # those that hold for all steps

    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step.

        Args:
            x_t: `[B, I]`.
            state: None for the initial state.

        Returns:
            The output `[B, H]` of the last layer, and the new state.

        Raises:
            ShapeError, StateError: a shape does not fit; the parameters have changed since the weights were packed.
        """
        self._snapshot.check()
        rnn = self._rnn
        if x_t.ndim != 2 or x_t.shape[1] != rnn.input_size:
            raise ShapeError(f"x_t: expected [batch, {rnn.input_size}], got {list(x_t.shape)}.")
        if state is None:
            state = rnn.first_state(x_t.shape[0], self._training, like=x_t)
        rnn.check_state(state, x_t.shape[0])
        layers = []
        for layer, (step, (states,)) in enumerate(zip(self._steps, state.layers, strict=True)):
            names = self._programs[layer].states
            values = tuple(states[name] for name in names)
            x = self._dropped(f"input {layer}", x_t, rnn.regularisation.input_dropout)
            new = step(x, values, self._step_masks(layer, values[0]))
            output = new[0] + x_t if rnn.residual and layer > 0 else new[0]
            if layer < rnn.num_layers - 1:
                output = dropout(output, rnn.dropout, self._training)
            x_t = output
            layers.append((dict(zip(names, new, strict=True)),))
        return self._dropped("output", x_t, rnn.regularisation.output_dropout), State(tuple(layers))

    def _dropped(self, name: str, x: Tensor, rate: float) -> Tensor:
        """Variational dropout: one mask for all steps."""
        if not (self._training and rate):
            return x
        if name not in self._masks:
            self._masks[name] = dropout_mask(x, x.shape, rate)
        self._check_rows(self._masks[name], x)
        return x * self._masks[name]

    def _step_masks(self, layer: int, like: Tensor) -> dict[str, Tensor]:
        """The program's masks at one step; what is dropped in the products is so at every step."""
        program = self._programs[layer]
        if not program.masks:
            return {}
        masks = self._rnn.regularisation.masks(program, (like.shape[0], 1, like.shape[1]), like)
        step_masks = {}
        for name, mask in masks.items():
            if mask.ndim == 3:
                step_masks[name] = mask[:, 0]
            else:
                step_masks[name] = self._masks.setdefault(f"{name} {layer}", mask)
                self._check_rows(step_masks[name], like)
        return step_masks

    def _check_rows(self, mask: Tensor, x: Tensor) -> None:
        if mask.shape[0] != x.shape[0]:
            noun = "row" if mask.shape[0] == 1 else "rows"
            raise ShapeError(
                f"x_t: expected {mask.shape[0]} {noun}, as at the first step, since its dropout masks hold for "
                f"all steps, got {x.shape[0]}; call unroll() again."
            )
