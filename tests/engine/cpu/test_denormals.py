"""Denormal numbers are 0 inside the generated kernels, and nowhere else."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import Cell, Recurrent
from recurra.engine import additive
from recurra.engine.cpu import build
from thread_modes import can_flush, flushing, threads

pytestmark = [
    pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here"),
    pytest.mark.skipif(not can_flush(), reason="this processor does not flush denormal numbers"),
]

TINY = {torch.float32: 1e-40, torch.float64: 1e-310}  # denormal numbers
LENGTHS = torch.tensor([4, 0, 2, 1, 4])


class Kept(Cell):
    """The state times a number, to see one that is denormal pass."""

    gates = ("a",)
    vectors = ("u",)

    def step(self, affine, h):
        return affine("a") + affine.vector("u") * h


class LogSigmoid(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return affine("a").sigmoid().log() + 0.5 * h


def gradients(cell: str, backend: str, dtype: torch.dtype, size: float, rows=5, hidden=9, lengths=LENGTHS):
    """Of all parameters, the input and the initial state, where those of outputs and final states are `size`.

    But for the initial state of rows without a step, whose gradients are handed on as they are.
    """
    torch.manual_seed(3)
    rnn = cases.recurrent(cell, 3, hidden, dtype, backend=backend)
    x = cases.leaf(torch.randn(rows, 4, 3, dtype=dtype))
    start = cases.random_state(rnn, rows).map(cases.leaf)
    outputs, final = rnn(x, start, lengths)
    results = [outputs, *(value for _, value in final.tensors())]
    leaves = {"x": x, **dict(start.tensors()), **dict(rnn.named_parameters())}
    arriving = [torch.full_like(value, size) for value in results]
    found = dict(zip(leaves, torch.autograd.grad(results, list(leaves.values()), arriving), strict=True))
    return {name: one[lengths > 0] if name in dict(start.tensors()) else one for name, one in found.items()}


@pytest.mark.parametrize("dtype", TINY)
@pytest.mark.parametrize("cell", ["gru", "lstm", "layer_norm_lstm"])
def test_gradients_that_are_denormal_become_0(cell, dtype):
    """The reference keeps them; and gradients a little larger than they are the same on both."""
    kept = gradients(cell, "reference", dtype, TINY[dtype])
    assert all((gradient != 0).any() for gradient in kept.values())
    flushed = gradients(cell, "cpu", dtype, TINY[dtype])
    assert not [name for name, gradient in flushed.items() if (gradient != 0).any()]
    larger = 1e6 * torch.finfo(dtype).tiny
    expected = gradients(cell, "reference", dtype, larger)
    for name, gradient in gradients(cell, "cpu", dtype, larger).items():
        # `cases.difference` compares with 1e-30 at least.
        difference = (gradient / larger - expected[name] / larger).abs().max()
        assert difference <= 1e-4 * (expected[name] / larger).abs().max(), name


def test_where_the_units_are_split_between_threads():
    with threads(2):
        shape = {"rows": 2, "hidden": 160, "lengths": torch.tensor([4, 3])}
        kept = gradients("gru", "reference", torch.float32, 1e-40, **shape)
        assert all((gradient != 0).any() for gradient in kept.values())
        flushed = gradients("gru", "cpu", torch.float32, 1e-40, **shape)
        assert not [name for name, gradient in flushed.items() if (gradient != 0).any()]
        assert flushing() == [False, False]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize("dtype", TINY)
def test_states_that_are_denormal_become_0(dtype, streaming):
    found = {}
    for backend in ("reference", "cpu"):
        rnn = Recurrent(Kept, 3, 9, backend=backend).to(dtype).eval()
        with torch.no_grad():
            for name, parameter in rnn.named_parameters():
                parameter.fill_(0.5 if name.endswith("vector_u") else 0.0)
            state = rnn.zero_state(2).map(lambda zero: torch.full_like(zero, TINY[dtype]))
            x = torch.randn(2, 3, dtype=dtype)
            output, _ = rnn.streaming().step(x, state) if streaming else rnn(x[:, None], state)
        found[backend] = output
    assert (found["reference"] == 0.5 * torch.tensor(TINY[dtype], dtype=dtype)).all()
    assert (found["cpu"] == 0).all()


@pytest.mark.parametrize("dtype", TINY)
def test_additive_energies_and_their_gradients(dtype, monkeypatch):
    found = {}
    for compiled in (False, True):
        if not compiled:
            monkeypatch.setattr(additive, "_compiled", lambda *_: False)
        else:
            monkeypatch.undo()
        projected, keys = torch.zeros(2, 3, 5, dtype=dtype), torch.full((2, 4, 5), TINY[dtype], dtype=dtype)
        padding, score = torch.zeros(2, 4, dtype=torch.bool), torch.ones(5, dtype=dtype)
        energies = additive.additive_energies(projected, keys, padding, score)
        given = (projected, torch.randn_like(keys), padding, score, torch.full_like(energies, TINY[dtype]))
        found[compiled] = [
            energies,
            additive.additive_d_projected(*given),
            *additive.additive_d_keys_and_score(*given),
        ]
    assert all((tensor != 0).any() for tensor in found[False])
    assert all((tensor == 0).all() for tensor in found[True])


@pytest.mark.parametrize("users", [False, True], ids=["off", "on"])
def test_the_mode_is_the_callers_again(users):
    """Of every thread, after a loop of one's own: training, a stream, attention."""
    with threads(2):
        flushing()  # starts the threads
        torch.set_flush_denormal(users)
        try:
            before = flushing()
            assert before == [users, False]
            gradients("gru", "cpu", torch.float32, 1.0)
            rnn = cases.recurrent("gru", 3, 9, torch.float32, backend="cpu")
            rnn.streaming().step(torch.randn(2, 3))
            padding, score = torch.zeros(2, 4, dtype=torch.bool), torch.ones(5)
            d_energies = torch.ones(2, 3, 4)
            given = (torch.randn(2, 3, 5), torch.randn(2, 4, 5), padding, score)
            additive.additive_energies(*given)
            additive.additive_d_projected(*given, d_energies)
            additive.additive_d_keys_and_score(*given, d_energies)
            assert flushing() == before
        finally:
            torch.set_flush_denormal(False)


def test_the_logarithm_of_a_saturated_gate_is_finite():
    """A sigmoid is never flushed; its logarithm has a gradient."""
    rnn = Recurrent(LogSigmoid, 1, 1, backend="cpu")
    with torch.no_grad():
        for name, parameter in rnn.named_parameters():
            parameter.fill_(1.0 if name.endswith("input_weight") else 0.0)
    x = torch.tensor([[[-88.5]], [[-88.0]], [[-80.0]]], requires_grad=True)
    outputs, _ = rnn(x)
    (gradient,) = torch.autograd.grad(outputs.sum(), x)
    assert outputs.flatten().tolist() == pytest.approx([-87.336, -87.336, -80.0], rel=1e-5)
    assert gradient.flatten().tolist() == pytest.approx([1.0, 1.0, 1.0], rel=1e-5)
