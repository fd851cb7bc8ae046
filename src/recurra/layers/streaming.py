"""Streaming: a stack of recurrent layers one step at a time, the state held by the caller.

B batch, I input, H hidden.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recurra.contracts import State
from recurra.engine.reference import OneStep
from recurra.errors import ConfigError, ShapeError

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


class Streaming:
    """What `Recurrent.streaming()` returns. It computes what the layers do in evaluation mode.

    Raises:
        ConfigError: the layers are bidirectional.
    """

    def __init__(self, rnn: Recurrent) -> None:
        if rnn.bidirectional:
            raise ConfigError(
                "streaming: a bidirectional layer cannot go one step at a time, since the backward direction "
                "needs the whole sequence; use one direction."
            )
        self._rnn = rnn
        self._steps = []
        for layer, width in enumerate(rnn.hidden_sizes):
            cell = rnn._cell(layer, 0)
            program = rnn.regularisation.program(cell.program, training=False)
            self._steps.append(OneStep(program, cell.named_tensors(), width))

    @torch.no_grad()
    def step(self, x_t: Tensor, state: State | None = None) -> tuple[Tensor, State]:
        """One step.

        Args:
            x_t: `[B, I]`.
            state: None for the initial state.

        Returns:
            The output `[B, H]` of the last layer, and the new state.

        Raises:
            ShapeError, StateError: a shape does not fit.
        """
        if x_t.ndim != 2 or x_t.shape[1] != self._rnn.input_size:
            raise ShapeError(f"x_t: expected [batch, {self._rnn.input_size}], got {list(x_t.shape)}.")
        if state is None:
            state = self._rnn.first_state(x_t.shape[0])
        self._rnn.check_state(state, x_t.shape[0])
        layers = []
        for layer, (step, (states,)) in enumerate(zip(self._steps, state.layers, strict=True)):
            names = step.program.states
            values = step.evaluate(step.project(x_t), tuple(states[name] for name in names), {})
            new = {
                name: values[index].expand_as(states[name])
                for name, index in zip(names, step.program.outputs, strict=True)
            }
            output = new[names[0]]
            x_t = output + x_t if self._rnn.residual and layer > 0 else output
            layers.append((new,))
        return x_t, State(tuple(layers))
