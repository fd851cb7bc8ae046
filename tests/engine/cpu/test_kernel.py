"""The cpu backend against the reference: cells, masks, sizes, memory, processes."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import cases
import special_values
from agreement import assert_equal, both
from recurra import Cell, Regularisation
from recurra.cells import CELLS
from recurra.engine import cpu
from recurra.engine.cpu import build

pytestmark = pytest.mark.skipif(build.compiler() is None, reason="there is no C++ compiler here")


class NoInput(Cell):
    """No gate has an input half, and one state leaves as it came."""

    gates = ("a",)
    state = ("h", "kept")
    has_bias = False

    def step(self, affine, h, kept):
        return affine.hidden("a", h).tanh() + kept, kept


class NoProduct(Cell):
    """IndRNN-like: no hidden weights."""

    gates = ("a",)
    vectors = ("u",)

    def step(self, affine, h):
        return (affine("a") + affine.vector("u") * h).tanh()


@pytest.mark.parametrize("cell", [cases.Everything, NoInput, NoProduct], ids=lambda cell: cell.__name__)
@pytest.mark.parametrize("ragged", [False, True])
def test_any_cell(cell, ragged):
    assert_equal(both(cell, lengths=torch.tensor([4, 0, 2, 1, 4]) if ragged else None))


@pytest.mark.parametrize("dtype", special_values.TOLERANCE)
@pytest.mark.parametrize("backend", ["reference", "cpu"])
def test_special_values_are_pytorchs(backend, dtype):
    """Of every operation and its derivative: ties, kinks, infinities and NaN."""
    assert special_values.wrong(special_values.on(backend, dtype), special_values.expected(dtype)) == []


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("hidden", [1, 7, 8, 16, 31, 65])
def test_any_width(hidden, dtype):
    """Whole vectors, and what is left of one."""
    assert_equal(both(CELLS["gru"], hidden, dtype=dtype), 1e-12 if dtype == torch.float64 else 1e-5)


@pytest.mark.parametrize("rows", [1, 2, 3, 13, 30])
def test_any_number_of_rows(rows):
    """Whole tiles of rows, and what is left of one."""
    lengths = torch.randint(0, 5, (rows,), generator=torch.Generator().manual_seed(rows))
    assert_equal(both(CELLS["lstm"], 5, rows, lengths=lengths))


@pytest.mark.parametrize("cell", ["gru_reset_after", "layer_norm_lstm"])
def test_masks_are_the_references(cell):
    options = Regularisation(recurrent_dropout=0.4, zoneout=0.3, weight_drop=0.3)
    assert_equal(both(CELLS[cell], training=True, regularisation=options))
    assert_equal(both(CELLS[cell], training=False, regularisation=options))


def test_uninitialised_memory_is_not_read(monkeypatch):
    """Fresh tensors full of NaN change nothing."""
    monkeypatch.setattr(torch.utils.deterministic, "fill_uninitialized_memory", True)
    torch.use_deterministic_algorithms(True)
    try:
        for lengths in (None, torch.tensor([4, 0, 2, 1, 3])):
            assert_equal(both(CELLS["layer_norm_lstm"], lengths=lengths))
            assert_equal(both(CELLS["gru"], lengths=lengths))
    finally:
        torch.use_deterministic_algorithms(False)


def test_undefined_gradients_and_other_strides():
    """Only the final state is used; the input lies transposed in memory."""
    rnn = cases.recurrent("peephole_lstm", 3, 6, backend="cpu")
    slow = cases.recurrent("peephole_lstm", 3, 6, backend="reference")
    slow.load_state_dict(rnn.state_dict())
    x = torch.randn(5, 4, 3, dtype=torch.float64)
    gradients = []
    for layers in (rnn, slow):
        lies = cases.leaf(x.transpose(0, 1).contiguous()).transpose(0, 1)
        _, final = layers(lies)
        loss = final.layers[0][0]["c"].sum()
        gradients.append(torch.autograd.grad(loss, list(layers.parameters()), allow_unused=True))
    for ours, theirs in zip(*gradients, strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_long_sequences_are_computed_again_instead_of_kept(monkeypatch):
    rnn = cases.recurrent("peephole_lstm", 3, 6, backend="cpu")
    x = torch.randn(5, 9, 3, dtype=torch.float64)
    lengths = torch.tensor([9, 0, 4, 1, 7])

    def kept_and_gradients():
        sizes = []
        with torch.autograd.graph.saved_tensors_hooks(
            lambda one: sizes.append(one.numel()) or one, lambda one: one
        ):
            loss = rnn(x, lengths=lengths)[0].square().sum()
        return sum(sizes), torch.autograd.grad(loss, list(rnn.parameters()))

    kept, expected = kept_and_gradients()
    monkeypatch.setattr(cpu, "KEEP_BYTES", 8000)
    kept_in_pieces, found = kept_and_gradients()
    assert kept_in_pieces < kept
    assert all(cases.difference(a, b) < 1e-12 for a, b in zip(found, expected, strict=True))


def test_nothing_is_kept_without_gradients():
    rnn = cases.recurrent("gru", 3, 6, backend="cpu")
    with torch.no_grad():
        outputs, _ = rnn(torch.randn(2, 3, 3, dtype=torch.float64))
    assert outputs.grad_fn is None


def test_gradients_by_differences():
    rnn = cases.recurrent("course_peephole_lstm", 2, 3, backend="cpu")
    x = torch.randn(2, 3, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: rnn(x)[0], (x,))


def test_repeating_a_call_gives_the_same_bits():
    rnn = cases.recurrent("gru", 3, 20, torch.float32, backend="cpu")
    x = torch.randn(7, 5, 3)
    assert torch.equal(rnn(x)[0], rnn(x)[0])


def test_several_threads_call_at_once():
    rnn = cases.recurrent("gru", 3, 20, backend="cpu")
    inputs = [torch.randn(7, 9, 3, dtype=torch.float64) for _ in range(8)]
    with torch.no_grad():
        expected = [rnn(x)[0] for x in inputs]

    def run(x):
        with torch.no_grad():
            return rnn(x)[0]

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(run, inputs))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, expected, strict=True))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
@pytest.mark.timeout(60)
def test_a_forked_child_runs_too():
    """As a data loader's worker does, it first asks for one thread."""
    rnn = cases.recurrent("gru", 3, 20, backend="cpu")
    x = torch.randn(7, 5, 3, dtype=torch.float64)
    expected = rnn(x)[0].detach()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        torch.set_num_threads(1)
        same = cases.difference(rnn(x)[0].detach(), expected) < 1e-12
        os.write(writing, b"1" if same else b"0")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 1) == b"1"
