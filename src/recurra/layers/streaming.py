"""Streaming: a stack of recurrent layers one step at a time, the state held by the caller.

B batch, I input, H hidden, R rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from recurra.contracts import State
from recurra.engine.steps import one_step
from recurra.errors import ShapeError
from recurra.layers.snapshot import Snapshot, check_one_direction

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


class Streaming:
    """What `Recurrent.streaming()` returns: what the layers do in evaluation mode, their weights packed once.

    Raises:
        ConfigError: the layers are bidirectional, or there are no such weights.
    """

    def __init__(self, rnn: Recurrent, weights: str | None = None) -> None:
        check_one_direction(rnn, "streaming")
        layers = [rnn.layer(number, training=False) for number in range(rnn.num_layers)]
        self._snapshot = Snapshot(rnn, "streaming", training=False)
        self._rnn = rnn
        self._inputs, self._residual = rnn.input_size, rnn.residual
        self._names = [layer.program.states for layer in layers]
        self._steps = [one_step(layer, weights, rnn.backend) for layer in layers]
        self._dtype, self._device = layers[0].like.dtype, layers[0].like.device

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
        shape = x_t.shape
        fits = x_t.dtype is self._dtype and x_t.device == self._device
        if len(shape) != 2 or shape[1] != self._inputs or not fits:
            raise ShapeError(
                f"x_t: expected [batch, {self._rnn.input_size}] of {self._dtype} on {self._device}, "
                f"got {list(x_t.shape)} of {x_t.dtype} on {x_t.device}."
            )
        rows = shape[0]
        if state is None:
            state = self._rnn.first_state(rows, like=x_t).detach()
        elif not self._fits(state, rows):
            self._rnn.check_state(state, rows)
        layers = []
        for layer, (step, names, (states,)) in enumerate(
            zip(self._steps, self._names, state.layers, strict=True)
        ):
            new = step(x_t, tuple([states[name] for name in names]))
            x_t = new[0] + x_t.detach() if self._residual and layer > 0 else new[0]
            layers.append((dict(zip(names, new, strict=True)),))
        return x_t, State(tuple(layers))

    def _fits(self, state: State, rows: int) -> bool:
        """Whether the state is certainly right; what `check_state` would say takes longer than a step."""
        if not isinstance(state, State) or len(state.layers) != len(self._steps):
            return False
        for directions, names, width in zip(state.layers, self._names, self._rnn.hidden_sizes, strict=True):
            if len(directions) != 1 or tuple(directions[0]) != names:
                return False
            for value in directions[0].values():
                if (
                    value.shape != (rows, width)
                    or value.dtype is not self._dtype
                    or value.device != self._device
                ):
                    return False
        return True

    def select(self, state: State, rows: Tensor) -> State:
        """The given rows `[R]` of a state, such as a beam's survivors; they may repeat, shrink or grow."""
        return state.select(rows)
