"""A cell's tensors are what its attributes give: parametrized, pruned, tied, on every backend and in every wrapper."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

import cases
from recurra import BackendError, CellError, Recurrent
from recurra.cells import CELLS
from recurra.engine.cpu import build

pytestmark = pytest.mark.filterwarnings("ignore:`torch.nn.utils.weight_norm`:FutureWarning")  # still in use

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
LENGTHS = torch.tensor([4, 0, 6, 2])
BACKENDS = ("textbook", "reference", *(("cpu",) if build.compiler() else ()), "vendor", "auto")


def tie(cell):
    cell.vector_output = cell.vector_update


def prune_two(cell):
    prune.l1_unstructured(cell, "hidden_weight", 0.5)
    prune.random_unstructured(cell, "bias", 0.5)


def use_a_buffer(cell):
    """The bias as a computed tensor that is no parameter."""
    bias = cell.bias.detach().clone()
    del cell.bias
    cell.register_buffer("bias", bias)


# By name: the cell, and what is done to it.
CHANGES = {
    "weight_norm": ("lstm", lambda cell: parametrizations.weight_norm(cell, "hidden_weight")),
    "weight_norm of the bias": ("lstm", lambda cell: parametrizations.weight_norm(cell, "bias", dim=None)),
    "spectral_norm": ("gru_reset_after", lambda cell: parametrizations.spectral_norm(cell, "hidden_weight")),
    "orthogonal": ("elman", lambda cell: parametrizations.orthogonal(cell, "hidden_weight")),
    "weight_norm by a hook": ("lstm", lambda cell: weight_norm(cell, "input_weight")),
    "spectral_norm by a hook": ("elman", lambda cell: spectral_norm(cell, "hidden_weight")),
    "pruning": ("lstm", prune_two),
    "pruning a hidden bias": (
        "gru_reset_after",
        lambda cell: prune.l1_unstructured(cell, "hidden_bias", 0.5),
    ),
    "a norm's gain": ("layer_norm_lstm", lambda cell: prune.l1_unstructured(cell, "norm_memory_gain", 0.5)),
    "tied vectors": ("peephole_lstm", tie),
    "a buffer": ("lstm", use_a_buffer),
}
PAIRS = [
    (name, backend)
    for name, (cell, _) in CHANGES.items()
    for backend in BACKENDS
    if backend != "vendor" or cell in cases.VENDOR_CELLS
]


def changed(name, backend):
    cell, change = CHANGES[name]
    torch.manual_seed(7)
    rnn = cases.recurrent(cell, INPUT, HIDDEN)
    change(rnn.cells[0][0])
    rnn.backend = backend
    return rnn.eval()


def gradients(rnn, outputs):
    found = torch.autograd.grad(outputs.square().sum(), list(rnn.parameters()), allow_unused=True)
    return [torch.zeros_like(p) if g is None else g for g, p in zip(found, rnn.parameters(), strict=True)]


def plain(rnn):
    """The same layers with the effective tensors as ordinary parameters."""
    cell = rnn.cells[0][0]
    copy = Recurrent(CELLS[name_of(cell)], INPUT, HIDDEN, backend="reference").double().eval()
    with torch.no_grad():
        for name, value in cell.named_tensors().items():
            getattr(copy.cells[0][0], name).copy_(value)
    return copy


def name_of(cell):
    return next(
        name for name, known in CELLS.items() if known(1, 1).program.canonical == cell.program.canonical
    )


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_forward_and_gradients(name, backend):
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    rnn, reference = changed(name, backend), changed(name, "reference")
    outputs = rnn(x, lengths=LENGTHS)[0]
    assert cases.difference(outputs, plain(rnn)(x, lengths=LENGTHS)[0]) < 1e-12
    expected = gradients(reference, reference(x, lengths=LENGTHS)[0])
    for ours, theirs in zip(gradients(rnn, outputs), expected, strict=True):
        assert cases.difference(ours, theirs) < 1e-11


@pytest.mark.parametrize(("name", "backend"), PAIRS)
def test_one_step_at_a_time(name, backend):
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    rnn = changed(name, backend)
    whole = rnn(x)[0]
    for steps in (rnn.streaming(), rnn.unroll()):
        state, found = None, []
        for t in range(TIME):
            output, state = steps.step(x[:, t], state)
            found.append(output)
        assert cases.difference(torch.stack(found, 1), whole) < 1e-12
    for ours, theirs in zip(gradients(rnn, torch.stack(found, 1)), gradients(rnn, whole), strict=True):
        assert cases.difference(ours, theirs) < 1e-11


def test_a_pruned_layer_trains():
    """The mask is applied anew at every call, and what is pruned stays so."""
    rnn = changed("pruning", "auto").train()
    optimiser = torch.optim.SGD(rnn.parameters(), 0.5)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    losses = []
    for _ in range(3):
        optimiser.zero_grad()
        loss = (rnn(x)[0] - 0.3).square().sum()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[2] < losses[1] < losses[0]
    cell = rnn.cells[0][0]
    assert (cell.named_tensors()["hidden_weight"][cell.hidden_weight_mask == 0] == 0).all()


def test_what_a_step_uses_must_be_there():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    x = torch.zeros(1, 2, INPUT, dtype=torch.float64)
    rnn.cells[0][0].bias = None
    for call in (lambda: rnn(x), rnn.streaming, rnn.unroll):
        with pytest.raises(CellError, match=r"LSTM.bias: expected a tensor \[20\], .* got NoneType"):
            call()
    rnn.cells[0][0].bias = nn.Parameter(torch.zeros(19, dtype=torch.float64))
    with pytest.raises(
        CellError, match=r"LSTM.bias: expected a tensor \[20\], as its step uses it, got \[19\]"
    ):
        rnn(x)
    rnn.cells[0][0].bias = nn.Parameter(torch.zeros(20))
    with pytest.raises(CellError, match=r"expected tensors of one type on one device, .* bias torch.float32"):
        rnn(x)


def test_a_computed_tensor_is_not_drawn_afresh():
    rnn = changed("weight_norm", "auto")
    with pytest.raises(CellError, match="hidden_weight is computed from other parameters"):
        rnn.cells[0][0].reset_parameters()


@pytest.mark.parametrize("kind", ["forward_hook", "forward_pre_hook", "full_backward_hook"])
def test_hooks_that_would_not_run_are_refused(kind):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    calls = []
    getattr(rnn.cells[0][0], f"register_{kind}")(lambda *arguments: calls.append(kind))
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64, requires_grad=True)
    for call in (lambda: rnn(x), rnn.streaming):
        with pytest.raises(BackendError, match=r"cells\[0\]\[0\] has a .*hook.* use backend='textbook'"):
            call()
    rnn.backend = "textbook"
    rnn(x)[0].sum().backward()
    assert len(calls) == TIME


def test_hooks_of_the_layer_run():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    calls = []
    rnn.register_forward_hook(lambda *arguments: calls.append(1))
    rnn(torch.zeros(1, 2, INPUT, dtype=torch.float64))
    assert calls == [1]
