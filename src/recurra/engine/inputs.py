"""What generated kernels are given of a call: the products with its inputs, and the per-unit parameters.

I input, H hidden, G gates.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from recurra.cells.program import Program
from recurra.engine.backend import Call
from recurra.engine.plan import vectors


def project(call: Call, x: Tensor, bfloat16: bool = False) -> Tensor:
    """W x + b of the input gates, `[..., G * H]`, of inputs `[..., I]`, in the states' type whatever autocast says.

    With `bfloat16` the product is of numbers rounded to that, and the bias is added afterwards.
    """
    dtype = call.states[0].dtype
    if not call.program.input_gates:
        return x.new_empty(*x.shape[:-1], 0, dtype=dtype)
    weight, bias = call.parameters["input_weight"], call.parameters.get("bias")
    with torch.autocast(x.device.type, enabled=False):
        if not bfloat16:
            return functional.linear(x.to(dtype), weight, bias)
        product = functional.linear(x.bfloat16(), weight.bfloat16()).to(dtype)
        return product if bias is None else product + bias


def per_unit_parameters(program: Program, parameters: Mapping[str, Tensor], hidden: int) -> list[Tensor]:
    """Vectors, norms' gains and shifts and the hidden biases, `[H]` each, in the kernels' order."""
    per_unit = []
    for name in vectors(program):
        if name.startswith("hidden_bias_"):
            first = program.hidden_bias_gates.index(name.removeprefix("hidden_bias_")) * hidden
            per_unit.append(parameters["hidden_bias"][first : first + hidden])
        else:
            per_unit.append(parameters[name])
    return per_unit
