"""Weights with fewer bits, for streaming.

I input, H hidden.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.errors import ConfigError, nearest

WEIGHTS = ("float32", "bfloat16", "int8")
LARGEST = 127  # of a weight held as a whole number


def check_weights(weights: str | None, dtype: torch.dtype) -> str | None:
    """None where the weights stay as they are, otherwise "bfloat16" or "int8".

    Raises:
        ConfigError: there are no such weights, or the parameters are not float32.
    """
    if weights is None:
        return None
    if weights not in WEIGHTS:
        raise ConfigError(
            f"weights: expected one of {', '.join(WEIGHTS)}, got {weights!r}.{nearest(weights, WEIGHTS)}"
        )
    if dtype != torch.float32:
        raise ConfigError(f"weights: {weights!r} is made from float32 parameters, and these are {dtype}.")
    return None if weights == "float32" else weights


def whole_numbers(
    program: Program, parameters: Mapping[str, Tensor], hidden: int
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Both weight matrices as int8, and by gate what a unit's weights are to be multiplied by, `[H]`.

    A unit's input and hidden weights of one gate share their scale: the largest of them becomes 127.
    """
    matrices = {
        name: (gates, parameters[name].detach())
        for name, gates in (("input_weight", program.input_gates), ("hidden_weight", program.hidden_gates))
        if name in parameters
    }
    scales: dict[str, Tensor] = {}
    for gate in program.gates:
        rows = [
            weight[gates.index(gate) * hidden :][:hidden]
            for gates, weight in matrices.values()
            if gate in gates
        ]
        largest = torch.cat(rows, 1).abs().amax(1)
        scales[gate] = torch.where(largest > 0, largest / LARGEST, torch.ones_like(largest))
    rounded = {
        name: (weight / torch.cat([scales[gate] for gate in gates])[:, None]).round().to(torch.int8)
        for name, (gates, weight) in matrices.items()
    }
    return rounded, scales


def rounded(
    program: Program, parameters: Mapping[str, Tensor], hidden: int, weights: str | None
) -> dict[str, Tensor]:
    """The parameters with the values that their weight matrices have in fewer bits."""
    tensors = dict(parameters)
    if weights == "bfloat16":
        for name in {"input_weight", "hidden_weight"} & set(tensors):
            tensors[name] = tensors[name].detach().to(torch.bfloat16).float()
    elif weights == "int8":
        whole, scales = whole_numbers(program, parameters, hidden)
        for name, values in whole.items():
            gates = program.input_gates if name == "input_weight" else program.hidden_gates
            tensors[name] = values.float() * torch.cat([scales[gate] for gate in gates])[:, None]
    return tensors
