"""One step of a program by a compiled kernel, its weights packed once.

B batch, I input, H hidden.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping
from functools import cache, lru_cache
from typing import Any

import torch
from torch import Tensor

from recurra.cells.program import Program
from recurra.engine.cpu import build
from recurra.engine.cpu.emit import emit_streaming, streaming_pointers
from recurra.engine.cpu.kernel import can_split, declare, in_threads, structure
from recurra.engine.cpu.packing import pack
from recurra.engine.plan import Term, plan_streaming
from recurra.engine.rounding import whole_numbers

# From so many multiply-adds on, a step is worth more than one thread.
THREADS_ABOVE = 2**22


@cache
def _library(key: str, double: bool, weight: str) -> ctypes.CDLL:
    source = emit_streaming(Program.from_key(key), build.machine(double), weight)
    library = build.library(source, "recurra_step", "recurra_scratch")
    library.recurra_scratch.restype, library.recurra_scratch.argtypes = ctypes.c_int64, [ctypes.c_int64]
    declare(library, "recurra_step")
    return library


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # kept from call to call, whatever mode the first one is in
def _rows(batch: int) -> Tensor:
    return torch.arange(batch, device="cpu")


class PackedStep:
    """One step of a program, without gradients; parameters as they are when it is made.

    Args:
        program: without masks.
        parameters: by the names a cell gives them, all float32 or all float64.
        hidden: H.
        weights: None for as they are; "bfloat16" or "int8" where they are float32.
        like: a tensor of the parameters' type.
    """

    def __init__(
        self,
        program: Program,
        parameters: Mapping[str, Tensor],
        hidden: int,
        weights: str | None,
        like: Tensor,
    ) -> None:
        double = like.dtype == torch.float64
        self.program, self.hidden = program, hidden
        self.library = _library(program.key, double, weights or "real")
        self.scratch = self.library.recurra_scratch(hidden)
        self.names = streaming_pointers(program)
        self.tensors = self._per_unit(parameters)
        self._pack(parameters, weights, build.machine(double), like)
        self.inputs = parameters["input_weight"].shape[1] if "input_weight" in parameters else 0
        self.size = self.tensors["packed"].numel()
        self.Call = structure(self.names)
        self.template = self.Call()
        self.template.steps, self.template.hidden, self.template.inputs = 1, hidden, self.inputs
        for place, name in enumerate(self.names):
            self.template.p[place] = self.tensors[name].data_ptr() if name in self.tensors else None
        self.place = {name: place for place, name in enumerate(self.names)}
        self.state_places = [
            (self.place[f"initial_{name}"], self.place[f"states_{name}"]) for name in program.states
        ]

    def _per_unit(self, parameters: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Every vector that the kernel reads, a biased gate's share of the biases included."""
        vectors = {name: value.detach().clone() for name, value in parameters.items() if value.ndim == 1}
        for array, prefix, gates in (
            ("bias", "bias_", self.program.input_gates),
            ("hidden_bias", "hidden_bias_", self.program.hidden_bias_gates),
        ):
            if array in vectors:
                vectors |= {
                    f"{prefix}{gate}": part
                    for gate, part in zip(gates, vectors[array].split(self.hidden), strict=True)
                }
        return {name: value for name, value in vectors.items() if name in self.names}

    def _pack(
        self, parameters: Mapping[str, Tensor], weights: str | None, machine: Any, like: Tensor
    ) -> None:
        program, hidden = self.program, self.hidden
        held = {name: value.detach() for name, value in parameters.items() if value.ndim == 2}
        if weights == "bfloat16":
            held = {name: value.to(torch.bfloat16).view(torch.int16) for name, value in held.items()}
            like = like.new_empty(0, dtype=torch.int16)
        elif weights == "int8":
            held, scales = whole_numbers(program, parameters, hidden)
            self.tensors["scale"] = like.new_zeros(len(program.gates), -(-hidden // 64) * 64)
            for row, gate in zip(self.tensors["scale"], program.gates, strict=True):
                row[:hidden] = scales[gate]
            like = like.new_empty(0, dtype=torch.int8)

        def block(term: Term) -> Tensor:
            gates = program.input_gates if term.matrix == "input" else program.hidden_gates
            first = gates.index(term.gate) * hidden
            return held[f"{term.matrix}_weight"][first : first + hidden]

        plan, _ = plan_streaming(program)
        self.tensors["packed"] = pack(plan, machine, hidden, block, like)

    def __call__(self, x: Tensor, states: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """The new states `[B, H]`, for `x` `[B, I]` and states `[B, H]` of the parameters' type."""
        batch = states[0].shape[0]
        if not batch:
            return states
        slices = 1
        if batch * self.size >= THREADS_ABOVE and can_split(torch.get_num_threads()):
            slices = torch.get_num_threads()
        x = x.contiguous()
        states = tuple(
            [state.contiguous() for state in states]
        )  # a list is made faster than a generator is run
        new = tuple([torch.empty_like(state) for state in states])
        scratch = states[0].new_empty(batch * self.scratch * slices) if self.scratch else None
        order = _rows(batch)
        call = self.Call.from_buffer_copy(self.template)
        call.batch, call.slices, call.split = batch, slices, int(slices > 1)
        call.order = call.first = order.data_ptr()
        if slices > 1:
            arrived = ctypes.c_int64(0)  # where the slices wait for each other
            call.arrived = ctypes.addressof(arrived)
        call.p[0] = x.data_ptr()
        if scratch is not None:
            call.p[self.place["scratch"]] = scratch.data_ptr()
        for (old, fresh), state, value in zip(self.state_places, states, new, strict=True):
            call.p[old], call.p[fresh] = state.data_ptr(), value.data_ptr()
        in_threads(self.library.recurra_step, call, slices)
        return new
