"""Which backend runs: named, chosen, explained."""

from __future__ import annotations

import importlib.util
import itertools

import pytest
import torch

import cases
from recurra import BackendError, Cell, Recurrent, Regularisation
from recurra.cells import CELLS, LSTM, PeepholeLSTM
from recurra.engine import cpu, explain

INPUT, HIDDEN = 3, 5
SEEDS = itertools.count(1)


@pytest.fixture(params=["no compiler", "AVX2", "AVX-512"])
def machine(request, monkeypatch):
    monkeypatch.setattr(
        cpu.build, "_obstacles", ["there is no C++ compiler"] if request.param == "no compiler" else [None]
    )
    monkeypatch.setattr(cpu, "AVX512", request.param == "AVX-512")
    return request.param


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_auto_takes_what_is_fastest(cell, machine):
    vendors = cell in cases.VENDOR_CELLS
    expected = "cpu"
    if machine == "no compiler":
        expected = "vendor" if vendors else "reference"
    elif machine == "AVX-512" and cell == "lstm":
        expected = "vendor"
    assert Recurrent(CELLS[cell], INPUT, HIDDEN).choose_backend() == expected
    verdicts = {verdict.backend: verdict for verdict in explain(CELLS[cell], INPUT, HIDDEN)}
    assert [name for name, verdict in verdicts.items() if verdict.chosen] == [expected]
    assert verdicts["reference"].runs
    assert verdicts["vendor"].runs == vendors
    assert verdicts["cpu"].runs == (machine != "no compiler")
    assert all(verdict.reason for verdict in verdicts.values())


def test_ragged_rows_and_float64_take_the_generated_kernels_everywhere(monkeypatch):
    monkeypatch.setattr(cpu.build, "_obstacles", [None])
    monkeypatch.setattr(cpu, "AVX512", True)
    rnn = Recurrent(LSTM, INPUT, HIDDEN)
    assert rnn.choose_backend(ragged=True) == "cpu"
    assert rnn.double().choose_backend() == "cpu"
    assert rnn.bfloat16().choose_backend() == "vendor"


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.1}, {"zoneout": 0.1}, {"zoneout": {"c": 0.1}}])
def test_the_vendor_takes_no_masks(options, machine):
    rnn = Recurrent(LSTM, INPUT, HIDDEN, regularisation=Regularisation(**options))
    without = "reference" if machine == "no compiler" else "cpu"
    assert rnn.train().choose_backend() == without
    evaluated = {"no compiler": "vendor", "AVX2": "cpu", "AVX-512": "vendor"}[machine]
    assert rnn.eval().choose_backend() == (evaluated if "recurrent_dropout" in options else without)
    chosen = [verdict for verdict in explain(LSTM, INPUT, HIDDEN, **options) if verdict.chosen]
    assert [verdict.backend for verdict in chosen] == [without]


def test_what_does_not_touch_a_step_leaves_the_vendor():
    options = Regularisation(input_dropout=0.1, output_dropout=0.1, weight_drop=0.1)
    rnn = Recurrent(
        LSTM,
        INPUT,
        HIDDEN,
        regularisation=options,
        num_layers=2,
        bidirectional=True,
        dropout=0.1,
        backend="vendor",
    )
    assert rnn.train().choose_backend() == "vendor"


def test_gates_are_read_on_the_reference():
    assert Recurrent(LSTM, INPUT, HIDDEN).choose_backend(return_gates=True) == "reference"
    rows = [row for row in explain(LSTM, INPUT, HIDDEN, return_gates=True) if row.backend != "gpu"]
    for row in rows:
        assert row.chosen == (row.backend == "reference")
        assert row.chosen or "gates" in row.reason


def test_the_gpu_backend_says_what_it_lacks(monkeypatch):
    def gpu(device):
        return next(row for row in explain(LSTM, INPUT, HIDDEN, device=device) if row.backend == "gpu")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert (gpu("cpu").runs, gpu("cpu").reason) == (False, "it runs on CUDA devices")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert gpu("cuda").reason == "there is no Triton; install triton"
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    assert gpu("cuda").reason == "PyTorch finds no CUDA device"
    with pytest.raises(BackendError, match=r"backend 'gpu' .* PyTorch finds no CUDA device"):
        Recurrent(LSTM, INPUT, HIDDEN, backend="gpu")


def test_on_cuda_the_gpu_backend_runs_where_it_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    for cell, expected in ((LSTM, "vendor"), (PeepholeLSTM, "reference")):
        verdicts = {row.backend: row for row in explain(cell, INPUT, HIDDEN, device="cuda")}
        assert verdicts[expected].chosen
        assert verdicts["gpu"].runs
        assert not verdicts["gpu"].chosen


def test_a_layer_may_be_built_before_it_is_moved(monkeypatch):
    """On the CPU, for a backend of another device; a call there is refused."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: True)
    rnn = Recurrent(PeepholeLSTM, INPUT, HIDDEN, backend="gpu")
    with pytest.raises(BackendError, match="it runs on CUDA devices"):
        rnn(torch.zeros(1, 1, INPUT))


def test_unknown_backend_names_the_nearest():
    with pytest.raises(BackendError, match=r"expected one of auto, .*got 'vendr'\. Did you mean 'vendor'"):
        Recurrent(LSTM, INPUT, HIDDEN, backend="vendr")


def test_the_error_says_how_to_learn_why():
    with pytest.raises(BackendError) as caught:
        Recurrent(PeepholeLSTM, INPUT, HIDDEN, backend="vendor")
    assert "explain" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_explain_of_an_own_cell():
    class Mine(Cell):
        gates = ("a",)

        def step(self, affine, h):
            return affine("a").tanh() + h

    assert [row.backend for row in explain(Mine, INPUT, HIDDEN, device="cuda") if row.chosen] == ["reference"]


@pytest.fixture
def refused(monkeypatch):
    """A cell whose kernels the compiler refuses; each time a program of which none are compiled yet."""
    if cpu.build.compiler() is None:
        pytest.skip("there is no C++ compiler here")
    from recurra.engine.cpu import kernel, streaming

    for module, name in ((kernel, "emit"), (streaming, "emit_streaming")):
        emit = getattr(module, name)
        broken = lambda *arguments, emit=emit: emit(*arguments) + "\nthis is no C++;\n"  # noqa: E731
        monkeypatch.setattr(module, name, broken)

    class Refused(Cell):
        gates = ("a",)
        factor = torch.rand(1, generator=torch.Generator().manual_seed(next(SEEDS))).item()

        def step(self, affine, h):
            return (self.factor * affine("a", h)).tanh()

    return Refused


def test_streams_fall_back_where_the_compiler_refuses_a_program(refused):
    rnn, x = Recurrent(refused, INPUT, HIDDEN, backend="cpu"), torch.randn(2, INPUT)
    with pytest.raises(BackendError, match="refuses the generated line"):
        rnn.streaming()
    rnn.backend = "auto"
    found, _ = rnn.streaming().step(x)
    rnn.backend = "reference"
    assert torch.equal(found, rnn.streaming().step(x)[0])


def test_auto_falls_back_where_the_compiler_refuses_a_program(refused):
    rnn, x = Recurrent(refused, INPUT, HIDDEN), torch.randn(2, 4, INPUT)
    outputs, _ = rnn(x)
    rnn.backend = "reference"
    assert torch.equal(outputs, rnn(x)[0])
    rnn.backend = "auto"
    assert rnn.choose_backend() == "reference"
    verdict = next(row for row in explain(refused, INPUT, HIDDEN) if row.backend == "cpu")
    assert not verdict.runs
    assert "refuses the generated line" in verdict.reason
    rnn.unroll().step(x[:, 0])
    rnn.backend = "cpu"
    with pytest.raises(
        BackendError, match=r"backend 'cpu' cannot run this program: .* refuses the generated line"
    ):
        rnn(x)
