"""Dropout and zoneout as transformations of a program, made before any backend sees it.

The masks stay outside: a backend receives them by name and multiplies or selects, so that all backends see
the same ones.
"""

from __future__ import annotations

from collections.abc import Mapping

from recurra.cells.program import Builder, Program

RECURRENT_MASK = "recurrent"


def zoneout_mask(state: str) -> str:
    """The name of the mask that says where `state` keeps its old value."""
    return f"zoneout_{state}"


def with_recurrent_dropout(program: Program) -> Program:
    """What enters each product with hidden weights is multiplied by the mask `recurrent` [B, H].

    One mask for all gates; the carried state itself is left alone (Gal & Ghahramani 2016).
    """
    builder = Builder()
    position: list[int] = []
    for node in program.nodes:
        args = tuple(position[arg] for arg in node.args)
        if node.op == "hidden":
            args = (builder.add("mul", args[0], builder.add("mask", name=RECURRENT_MASK)),)
        position.append(builder.add(node.op, *args, name=node.name, values=node.values))
    return _replace(program, builder, tuple(position[output] for output in program.outputs))


def with_zoneout(program: Program, rates: Mapping[str, float], training: bool) -> Program:
    """Some units of some states keep their old value (Krueger 2017).

    Args:
        rates: probability of keeping, by name of state.
        training: select by the boolean masks `zoneout_<state>` [B, T, H]; otherwise use the expectation.
    """
    builder = Builder()
    for node in program.nodes:
        builder.add(node.op, *node.args, name=node.name, values=node.values)
    outputs = []
    for state, output in zip(program.states, program.outputs, strict=True):
        rate = rates.get(state, 0.0)
        if rate:
            old = builder.add("state", name=state)
            if training:
                output = builder.add("where", builder.add("step_mask", name=zoneout_mask(state)), old, output)
            else:
                kept = builder.add("mul", builder.add("constant", values=(rate,)), old)
                fresh = builder.add("mul", builder.add("constant", values=(1.0 - rate,)), output)
                output = builder.add("add", kept, fresh)
        outputs.append(output)
    return _replace(program, builder, tuple(outputs))


def _replace(program: Program, builder: Builder, outputs: tuple[int, ...]) -> Program:
    return Program(
        gates=program.gates,
        states=program.states,
        nodes=tuple(builder.nodes),
        outputs=outputs,
        hidden_bias_gates=program.hidden_bias_gates,
        has_bias=program.has_bias,
    )
