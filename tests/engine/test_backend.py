"""What backends are given and give back, and that each one is a backend."""

from __future__ import annotations

import dataclasses

import pytest
import torch

import cases
from recurra import Cell
from recurra.cells import LSTM, Program
from recurra.engine import BACKENDS, Call, Layer, Options
from recurra.engine.backend import Result


@pytest.mark.parametrize("name", BACKENDS)
def test_every_backend_has_a_name_a_device_and_says_what_it_runs(name):
    backend = BACKENDS[name]
    assert name == backend.NAME
    assert backend.DEVICE in (None, "cpu", "cuda")
    program = LSTM(3, 5).program
    for device in ("cpu", "cuda", "meta"):
        reason = backend.can_run(program, Options(device, torch.float64))
        assert reason is None or (reason and not reason.endswith(".") and "\n" not in reason)
    assert backend.can_run(program, Options(backend.DEVICE or "cpu", torch.complex64)) or name in (
        "reference",
        "textbook",
    )


@pytest.mark.parametrize("name", ["vendor", "cpu", "reference", "textbook"])
def test_each_runs_a_call_as_it_is_given(name):
    """A call of nothing but its program, parameters, inputs and states: three rows, one of them empty."""
    if BACKENDS[name].can_run(LSTM(3, 5).program, Options("cpu", torch.float64)):
        pytest.skip("it does not run here")
    cell = LSTM(3, 5).double()
    cases.randomise(cell)
    x, states = torch.randn(3, 4, 3).double(), tuple(torch.randn(3, 5).double() for _ in range(2))
    call = Call(cell.program, cell.named_tensors(), x, states, torch.tensor([4, 0, 2]), cell=cell)
    with torch.no_grad():
        result = BACKENDS[name].run(call)
    assert isinstance(result, Result)
    assert not result.gates
    outputs, (h, c) = torch.zeros(3, 4, 5).double(), (states[0].clone(), states[1].clone())
    with torch.no_grad():
        for row, length in enumerate((4, 0, 2)):
            for t in range(length):
                new = cell(x[row : row + 1, t], (h[row : row + 1], c[row : row + 1]))
                h[row], c[row] = new[0][0], new[1][0]
                outputs[row, t] = h[row]
    for ours, theirs in zip((result.outputs, *result.states), (outputs, h, c), strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_a_layer_is_like_its_parameters_or_pytorchs_defaults():
    cell = LSTM(3, 5).double()
    layer = Layer(cell, cell.program, cell.named_tensors(), ())
    assert layer.like.dtype == torch.float64
    assert not layer.like.requires_grad

    class Fading(Cell):
        def step(self, affine, h):
            return 0.5 * h

    fading = Fading(3, 5)
    assert Layer(fading, fading.program, {}, ()).like.dtype == torch.get_default_dtype()


def test_values_are_frozen_and_calls_share_no_default():
    program = Program(("a",), ("h",), (), ())
    one, other = (Call(program, {}, torch.zeros(1, 1, 1), ()) for _ in range(2))
    assert one.masks is not other.masks
    with pytest.raises(dataclasses.FrozenInstanceError):
        one.return_gates = True
    assert Options() == Options("cpu", torch.float32)
