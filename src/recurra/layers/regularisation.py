"""Regularisation of recurrent layers, and the masks that it draws.

It is part of configurations, so PyTorch is imported where masks are drawn.

B batch, T time, I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from recurra.errors import ConfigError, nearest
from recurra.settings import check, probability

if TYPE_CHECKING:
    from torch import Tensor

    from recurra.cells.program import Program


@dataclass(frozen=True)
class Regularisation:
    """What is dropped inside recurrent layers; each a probability in [0, 1).

    Attributes:
        input_dropout: variational dropout on each layer's input, one mask `[B, I]` for the whole call
            (Gal & Ghahramani 2016).
        recurrent_dropout: variational dropout on what enters the products with hidden weights, one mask
            `[B, H]` for all gates and steps of a layer and direction; the carried state is left alone.
        output_dropout: variational dropout on the last layer's output, one mask `[B, H]`.
        zoneout: probability that a unit keeps its old value at a step, for every state, or by state's name
            (Krueger 2017). Evaluation uses the expectation.
        weight_drop: dropout on the hidden weights, one mask for the whole call (Merity 2017).
    """

    input_dropout: float = probability()
    recurrent_dropout: float = probability()
    output_dropout: float = probability()
    zoneout: float | dict[str, float] = probability()
    weight_drop: float = probability()

    def __post_init__(self) -> None:
        check(self)

    def zoneout_rates(self, program: Program) -> dict[str, float]:
        """The probability for each state that is zoned out."""
        if isinstance(self.zoneout, Mapping):
            return {name: rate for name, rate in self.zoneout.items() if rate}
        return dict.fromkeys(program.states, self.zoneout) if self.zoneout else {}

    def check(self, program: Program, cell_name: str) -> None:
        """Raise if an option touches nothing in `program`.

        Raises:
            ConfigError: recurrent dropout or weight drop without hidden weights, zoneout of an unknown state.
        """
        for name in ("recurrent_dropout", "weight_drop"):
            if getattr(self, name) and not program.products:
                raise ConfigError(
                    f"{name}: {cell_name} has no product with hidden weights for it to act on; leave it at 0."
                )
        if self.input_dropout and not program.input_gates:
            raise ConfigError(f"input_dropout: {cell_name} does not use its input; leave it at 0.")
        for name in self.zoneout_rates(program):
            if name not in program.states:
                known = ", ".join(program.states)
                raise ConfigError(
                    f"zoneout: {cell_name} has no state {name!r}; its states: {known}.{nearest(name, program.states)}"
                )

    def changes(self, program: Program, training: bool) -> tuple[str, ...]:
        """The names of the options that change a step, or the weights that it uses."""
        acting = {
            "recurrent_dropout": training and self.recurrent_dropout,
            "zoneout": self.zoneout_rates(program),
            "weight_drop": training and self.weight_drop,
        }
        return tuple(name for name, acts in acting.items() if acts)

    def program(self, program: Program, training: bool) -> Program:
        """The program with recurrent dropout and zoneout in it."""
        from recurra.cells.transform import with_recurrent_dropout, with_zoneout

        if training and self.recurrent_dropout:
            program = with_recurrent_dropout(program)
        rates = self.zoneout_rates(program)
        return with_zoneout(program, rates, training) if rates else program

    def masks(self, program: Program, shape: tuple[int, int, int], like: Tensor) -> dict[str, Tensor]:
        """The masks that a transformed `program` asks for, drawn from torch's generator.

        Args:
            shape: B, T, H.
            like: a tensor of the masks' device and type.
        """
        import torch

        from recurra.cells.transform import RECURRENT_MASK, zoneout_mask
        from recurra.layers.dropout import dropout_mask

        batch, time, hidden = shape
        masks = {}
        if RECURRENT_MASK in program.masks:
            masks[RECURRENT_MASK] = dropout_mask(like, (batch, hidden), self.recurrent_dropout)
        for name, rate in self.zoneout_rates(program).items():
            if zoneout_mask(name) in program.masks:
                masks[zoneout_mask(name)] = torch.rand(batch, time, hidden, device=like.device) < rate
        return masks

    def drop_weights(self, parameters: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
        """The parameters with dropout on the hidden weights; the module's own are not changed."""
        from recurra.layers.dropout import dropout

        if not self.weight_drop:
            return parameters
        dropped = dropout(parameters["hidden_weight"], self.weight_drop)
        return {**parameters, "hidden_weight": dropped}
