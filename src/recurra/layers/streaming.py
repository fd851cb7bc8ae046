"""Streaming: a stack of recurrent layers one step at a time, the state held by the caller.

B batch, I input, H hidden, R rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from torch import Tensor

from recurra.contracts import State
from recurra.engine.steps import one_step
from recurra.errors import ConfigError, ShapeError, StateError

if TYPE_CHECKING:
    from recurra.layers.recurrent import Recurrent


class Snapshot:
    """The parameters of layers that go one step at a time as they are now, to notice when they are no more.

    Args:
        rnn: whose parameters.
        method: what has to be called again then.

    Raises:
        ConfigError: the layers are bidirectional.
    """

    def __init__(self, rnn: Recurrent, method: str) -> None:
        if rnn.bidirectional:
            raise ConfigError(
                f"{method}: a bidirectional layer cannot go one step at a time, since the backward direction "
                "needs the whole sequence; use one direction."
            )
        self._parameters = tuple(rnn.parameters())
        self._method = method
        self._seen = self._versions()

    def _versions(self) -> list[tuple[int, int]]:
        """How often every parameter has been written to, and where it lies."""
        return [(one._version, one.data_ptr()) for one in self._parameters]

    def check(self) -> None:
        """Raise once the parameters have changed.

        Raises:
            StateError: they have.
        """
        if self._versions() != self._seen:
            raise StateError(
                f"{self._method}: the parameters have changed since their weights were packed; "
                f"call {self._method}() again."
            )


class Streaming:
    """What `Recurrent.streaming()` returns: what the layers do in evaluation mode, their weights packed once.

    Raises:
        ConfigError: the layers are bidirectional, or there are no such weights.
    """

    def __init__(self, rnn: Recurrent, weights: str | None = None) -> None:
        self._snapshot = Snapshot(rnn, "streaming")
        self._rnn = rnn
        self._names = rnn.program.states
        self._steps = rnn.steps(
            lambda program, parameters, hidden: one_step(program, parameters, hidden, weights, rnn.backend),
            training=False,
        )
        self._dtype = next(rnn.parameters()).dtype

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
        if x_t.ndim != 2 or x_t.shape[1] != self._rnn.input_size or x_t.dtype != self._dtype:
            raise ShapeError(
                f"x_t: expected [batch, {self._rnn.input_size}] of {self._dtype}, got {list(x_t.shape)} of {x_t.dtype}."
            )
        rows = x_t.shape[0]
        if state is None:
            state = self._rnn.first_state(rows).detach()
        elif not self._fits(state, rows):
            self._rnn.check_state(state, rows)
        layers = []
        for layer, (step, (states,)) in enumerate(zip(self._steps, state.layers, strict=True)):
            new = step(x_t, tuple([states[name] for name in self._names]))
            x_t = new[0] + x_t.detach() if self._rnn.residual and layer > 0 else new[0]
            layers.append((dict(zip(self._names, new, strict=True)),))
        return x_t, State(tuple(layers))

    def _fits(self, state: State, rows: int) -> bool:
        """Whether the state is certainly right; what `check_state` would say takes longer than a step."""
        if not isinstance(state, State) or len(state.layers) != len(self._steps):
            return False
        for directions, width in zip(state.layers, self._rnn.hidden_sizes, strict=True):
            if len(directions) != 1 or tuple(directions[0]) != self._names:
                return False
            for value in directions[0].values():
                if value.shape != (rows, width) or value.dtype != self._dtype:
                    return False
        return True

    def select(self, state: State, rows: Tensor) -> State:
        """The given rows `[R]` of a state, such as a beam's survivors; they may repeat, shrink or grow."""
        return state.select(rows)
