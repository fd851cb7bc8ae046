"""The vendor backend: programs that oneDNN or cuDNN run already, through PyTorch's fused kernels.

A program is recognised by what it computes, never by its class. The weights go in as they lie.
B batch, T time, I input, H hidden.
"""

from __future__ import annotations

import torch
from torch import Tensor

from recurra.cells.cell import Cell
from recurra.cells.elman import Elman, ReluElman
from recurra.cells.gru import GRUResetAfter
from recurra.cells.lstm import LSTM
from recurra.cells.program import Program
from recurra.cells.trace import trace
from recurra.engine.backend import Call, Options, Result
from recurra.engine.transformations import COMPILE, EXPORT, FORWARD_MODE, VMAP

NAME = "vendor"
DEVICE = None
DTYPES = (torch.float32, torch.float64, torch.bfloat16, torch.float16)

# Past a row's length the update gate is shut and the forget gate opened by this much, which is far
# beyond where a sigmoid is exactly 0 or 1.
HOLD = 1e4


_CELLS: dict[str, type[Cell]] = {"rnn_tanh": Elman, "rnn_relu": ReluElman, "gru": GRUResetAfter, "lstm": LSTM}
# Traced without parameters: an import must not draw from torch's generator.
_KERNELS = {trace(cell.__new__(cell)).canonical: name for name, cell in _CELLS.items()}


def kernel_name(program: Program) -> str | None:
    """Which kernel computes this program; None where there is none."""
    return None if program.masks else _KERNELS.get(program.canonical)


def can_run(program: Program, options: Options) -> str | None:
    """Yes for the programs of Elman, ReluElman, GRUResetAfter and LSTM, without masks, where no gates are wanted."""
    if program.masks:
        return f"its kernels take no masks inside a step ({', '.join(program.masks)})"
    if kernel_name(program) is None:
        return "PyTorch has kernels for elman, relu_elman, gru_reset_after and lstm, not for these equations"
    if options.return_gates:
        return "its kernels do not give out the gates"
    if options.dtype not in DTYPES:
        return f"its kernels do not take {options.dtype}"
    if VMAP in options.transformations:
        return f"its kernels do not go through {VMAP}"
    beyond_onednn = {COMPILE, EXPORT, FORWARD_MODE}.intersection(options.transformations)
    if beyond_onednn and options.device == "cpu" and kernel_name(program) == "lstm":
        return f"its LSTM for the CPU does not go through {min(beyond_onednn)}"
    if options.device == "meta":
        return "its kernels compute numbers, and tensors on the device meta have none"
    return None


def run(call: Call) -> Result:
    """One call of the fused kernel."""
    name = kernel_name(call.program)
    assert name is not None
    parameters = call.parameters
    x, input_weight = call.x, parameters["input_weight"]
    if call.lengths is not None and name == "lstm":
        x, input_weight = _hold_memory(call, x, input_weight)
    rows = input_weight.shape[0]
    weights = [input_weight, parameters["hidden_weight"]]
    biased = "bias" in parameters or "hidden_bias" in parameters
    if biased:
        weights += [_whole_bias(call, "bias", rows), _whole_bias(call, "hidden_bias", rows)]
    x, states, weights = _autocast(x, call.states, weights)
    initial = tuple(state.unsqueeze(0).contiguous() for state in states)
    settings = (weights, biased, 1, 0.0, torch.is_grad_enabled(), False, True)
    # The functions behind nn.RNN, nn.GRU and nn.LSTM: one layer, no dropout, one direction, batch first.
    if name == "lstm":
        outputs, *final = torch.lstm(x, initial, *settings)
    else:
        outputs, *final = getattr(torch, name)(x, initial[0], *settings)
    return _cut(call, outputs, tuple(state.squeeze(0) for state in final))


def _whole_bias(call: Call, name: str, rows: int) -> Tensor:
    """The bias of every gate, zeros for those that have none."""
    gates = call.program.gates
    biased = call.program.input_gates if name == "bias" else call.program.hidden_bias_gates
    bias = call.parameters.get(name)
    if bias is None:
        return call.x.new_zeros(rows, dtype=call.parameters["input_weight"].dtype)
    if biased == gates:
        return bias
    parts = dict(zip(biased, bias.chunk(len(biased)), strict=True))
    zeros = bias.new_zeros(rows // len(gates))
    return torch.cat([parts.get(gate, zeros) for gate in gates])


def _hold_memory(call: Call, x: Tensor, input_weight: Tensor) -> tuple[Tensor, Tensor]:
    """A further input, 1 past a row's length, that makes an LSTM keep its memory exactly.

    The kernel returns the memory of the last step only; with update at 0 and forget at 1 this is the one at
    the row's length, and no gradient passes through the steps between.
    """
    assert call.lengths is not None
    past = torch.arange(x.shape[1], device=x.device) >= call.lengths[:, None]  # [B, T]
    column = input_weight.new_zeros(4, input_weight.shape[0] // 4)
    column[0], column[1] = -HOLD, HOLD  # the gates stand in LSTM's order: update, forget, ...
    return torch.cat([x, past.unsqueeze(-1).to(x.dtype)], dim=-1), torch.cat(
        [input_weight, column.view(-1, 1)], dim=1
    )


def _autocast(
    x: Tensor, states: tuple[Tensor, ...], weights: list[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...], list[Tensor]]:
    """Everything in autocast's type where autocast is on; the kernels take one type only."""
    if not torch.is_autocast_enabled(x.device.type):
        return x, states, weights
    dtype = torch.get_autocast_dtype(x.device.type)
    return x.to(dtype), tuple(state.to(dtype) for state in states), [weight.to(dtype) for weight in weights]


def _cut(call: Call, outputs: Tensor, final: tuple[Tensor, ...]) -> Result:
    """Zero outputs past each row's length, and the output state at that length."""
    final = tuple(state.to(old.dtype) for state, old in zip(final, call.states, strict=True))
    if call.lengths is None:
        return Result(outputs, final, {})
    time = torch.arange(outputs.shape[1], device=outputs.device)
    last = (call.lengths - 1).clamp(min=0)[:, None, None].expand(-1, 1, outputs.shape[2])
    at_length = outputs.gather(1, last).squeeze(1).to(call.states[0].dtype)  # [B, H]
    output_state = torch.where((call.lengths > 0)[:, None], at_length, call.states[0])
    outputs = torch.where((time < call.lengths[:, None]).unsqueeze(-1), outputs, 0.0)
    return Result(outputs, (output_state, *final[1:]), {})
