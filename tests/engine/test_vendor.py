"""The vendor backend: that it really runs, that it takes the weights as they lie, and what it refuses."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn

import cases
from recurra import BackendError, Cell, Recurrent, Regularisation
from recurra.cells import CELLS, GRU, LSTM, Elman
from recurra.engine import Options, vendor

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
KERNELS = {
    "elman": "aten::rnn_tanh",
    "relu_elman": "aten::rnn_relu",
    "gru_reset_after": "aten::gru",
    "lstm": "aten::lstm",
}
MODULES = {
    "elman": lambda: nn.RNN(INPUT, HIDDEN, batch_first=True),
    "relu_elman": lambda: nn.RNN(INPUT, HIDDEN, batch_first=True, nonlinearity="relu"),
    "gru_reset_after": lambda: nn.GRU(INPUT, HIDDEN, batch_first=True),
    "lstm": lambda: nn.LSTM(INPUT, HIDDEN, batch_first=True),
}


def operations(rnn: Recurrent, **options) -> set[str]:
    """The names of the operations that one training call runs, as PyTorch's profiler saw them."""
    rnn.train()
    x = torch.randn(BATCH, TIME, INPUT)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        rnn(x, **options)[0].sum().backward()
    return {event.key for event in profile.key_averages()}


@pytest.mark.parametrize("lengths", [None, [6, 0, 2, 5]])
@pytest.mark.parametrize("cell", cases.VENDOR_CELLS)
def test_the_fused_kernel_really_runs(cell, lengths):
    rnn = Recurrent(
        CELLS[cell], INPUT, HIDDEN, num_layers=2, dropout=0.1, bidirectional=True, backend="vendor"
    )
    seen = operations(rnn, lengths=None if lengths is None else torch.tensor(lengths))
    assert KERNELS[cell] in seen
    if cell == "lstm" and torch.backends.mkldnn.is_available():
        assert "aten::mkldnn_rnn_layer" in seen


def test_importing_draws_nothing_from_the_generator_of_torch():
    code = (
        "import torch\n"
        "before = torch.get_rng_state()\n"
        "import recurra.engine.vendor\n"
        "assert torch.equal(before, torch.get_rng_state())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_the_reference_runs_no_kernel_when_it_is_named():
    for cell, kernel in KERNELS.items():
        assert kernel not in operations(Recurrent(CELLS[cell], INPUT, HIDDEN, backend="reference"))


@pytest.mark.parametrize("cell", cases.VENDOR_CELLS)
def test_equals_the_torch_module_with_the_weights_as_they_lie(cell):
    """Outputs, final states and gradients of the module whose parameters are copied over unchanged."""
    module = MODULES[cell]().double()
    rnn = cases.recurrent(cell, INPUT, HIDDEN, backend="vendor")
    own = rnn.cells[0][0]
    with torch.no_grad():
        module.weight_ih_l0.copy_(own.input_weight)
        module.weight_hh_l0.copy_(own.hidden_weight)
        module.bias_ih_l0.copy_(own.bias)
        module.bias_hh_l0.zero_() if own.hidden_bias is None else module.bias_hh_l0.copy_(own.hidden_bias)
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    start = cases.random_state(rnn, BATCH)
    states = tuple(value[None] for value in start.layers[0][0].values())
    expected, final = module(x, states if cell == "lstm" else states[0])
    outputs, state = rnn(x, start)
    assert cases.difference(outputs, expected) < 1e-12
    for value, theirs in zip(state.layers[0][0].values(), final if cell == "lstm" else (final,), strict=True):
        assert cases.difference(value, theirs[0]) < 1e-12
    weights = torch.randn_like(outputs)
    (outputs * weights).sum().backward()
    (expected * weights).sum().backward()
    pairs = [("input_weight", "weight_ih_l0"), ("hidden_weight", "weight_hh_l0"), ("bias", "bias_ih_l0")]
    pairs += [] if own.hidden_bias is None else [("hidden_bias", "bias_hh_l0")]
    for ours, theirs in pairs:
        assert cases.difference(getattr(own, ours).grad, getattr(module, theirs).grad) < 1e-12


def test_own_cell_is_recognised_by_what_it_computes():
    class Mine(Cell):
        gates = ("i", "f", "g", "o")
        state = ("out", "memory")

        def step(self, affine, out, memory):
            kept = memory * affine("f", out).sigmoid()
            memory = affine("g", out).tanh() * affine("i", out).sigmoid() + kept
            return memory.tanh() * affine("o", out).sigmoid(), memory

    torch.manual_seed(1)
    mine = Recurrent(Mine, INPUT, HIDDEN, backend="vendor")
    cases.randomise(mine)
    reference = Recurrent(Mine, INPUT, HIDDEN, backend="reference")
    reference.load_state_dict(mine.state_dict())
    x, lengths = torch.randn(BATCH, TIME, INPUT), torch.tensor([6, 0, 2, 5])
    assert "aten::lstm" in operations(mine)
    for ours, theirs in zip(
        mine(x, None, lengths)[1].tensors(), reference(x, None, lengths)[1].tensors(), strict=True
    ):
        assert cases.difference(ours[1], theirs[1]) < 1e-5


def test_a_cell_of_the_same_name_with_other_equations_is_not():
    other = type("LSTM", (LSTM,), {"step": lambda self, affine, h, c: LSTM.step(self, affine, h, 0.5 * c)})
    with pytest.raises(BackendError, match="not for these equations"):
        Recurrent(other, INPUT, HIDDEN, backend="vendor")


class PartlyBiased(Cell):
    """The equations of GRUResetAfter, but only the candidate has a hidden bias."""

    gates = ("reset", "update", "candidate")

    def step(self, affine, h):
        reset, update = affine("reset", h).sigmoid(), affine("update", h).sigmoid()
        candidate = (affine.input("candidate") + reset * affine.hidden("candidate", h)).tanh()
        return (1 - update) * candidate + update * h


class Unbiased(GRU):
    has_bias = False

    def step(self, affine, h):
        update = (affine.input("update") + affine.hidden("update", h)).sigmoid()
        reset = (affine.input("reset") + affine.hidden("reset", h)).sigmoid()
        candidate = (affine.input("candidate") + update * affine.hidden("candidate", h)).tanh()
        return (1 - reset) * candidate + reset * h


@pytest.mark.parametrize("cell", [PartlyBiased, Unbiased])
def test_missing_biases_are_zeros(cell):
    vendor_run = Recurrent(cell, INPUT, HIDDEN, backend="vendor").double()
    cases.randomise(vendor_run)
    reference_run = Recurrent(cell, INPUT, HIDDEN, backend="reference").double()
    reference_run.load_state_dict(vendor_run.state_dict())
    x = torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)
    assert cases.difference(vendor_run(x)[0], reference_run(x)[0]) < 1e-12


@pytest.mark.parametrize("cell", [cell for cell in cases.ALL_CELLS if cell not in cases.VENDOR_CELLS])
def test_other_cells_are_refused(cell):
    with pytest.raises(
        BackendError, match=r"backend 'vendor' cannot run this program: .*not for these equations"
    ):
        Recurrent(CELLS[cell], INPUT, HIDDEN, backend="vendor")


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.2}, {"zoneout": 0.1}, {"zoneout": {"c": 0.1}}])
def test_masks_inside_a_step_are_refused(options):
    with pytest.raises(BackendError, match="masks"):
        Recurrent(LSTM, INPUT, HIDDEN, regularisation=Regularisation(**options), backend="vendor")


def test_gates_are_refused_when_they_are_asked_for():
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend="vendor")
    with pytest.raises(BackendError, match="do not give out the gates"):
        rnn(torch.zeros(BATCH, TIME, INPUT), return_gates=True)


def test_can_run_gives_the_reason():
    program = Elman(INPUT, HIDDEN).program
    assert vendor.can_run(program, Options()) is None
    assert "gates" in str(vendor.can_run(program, Options(return_gates=True)))
    assert "int64" in str(vendor.can_run(program, replace(Options(), dtype=torch.int64)))


@pytest.mark.parametrize("backend", ["vendor", "reference"])
@pytest.mark.parametrize("lengths", [None, [6, 0, 2, 5]])
@pytest.mark.parametrize("cell", cases.VENDOR_CELLS)
def test_autocast_to_bfloat16(cell, lengths, backend):
    """The same numbers to bfloat16's eight bits, final states in the states' own type, gradients in float32."""
    rnn = cases.recurrent(cell, INPUT, HIDDEN, dtype=torch.float32, backend=backend)
    x, start = torch.randn(BATCH, TIME, INPUT), cases.random_state(rnn, BATCH)
    lengths = None if lengths is None else torch.tensor(lengths)
    expected, final = rnn(x, start, lengths)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        outputs, state = rnn(x, start, lengths)
    assert cases.difference(outputs.float(), expected) < 0.05
    for (_, ours), (_, theirs) in zip(state.tensors(), final.tensors(), strict=True):
        assert ours.dtype == torch.float32
        assert cases.difference(ours, theirs) < 0.05
    outputs.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in rnn.parameters())
