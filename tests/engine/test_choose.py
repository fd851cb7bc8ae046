"""Which backend runs: named, chosen, explained."""

from __future__ import annotations

import pytest

import cases
from recurra import BackendError, Cell, Recurrent, Regularisation
from recurra.cells import CELLS, LSTM, PeepholeLSTM
from recurra.engine import explain

INPUT, HIDDEN = 3, 5


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_auto_takes_the_vendor_where_it_can(cell):
    expected = "vendor" if cell in cases.VENDOR_CELLS else "reference"
    assert Recurrent(CELLS[cell], INPUT, HIDDEN).choose_backend() == expected
    verdicts = {verdict.backend: verdict for verdict in explain(CELLS[cell], INPUT, HIDDEN)}
    assert [name for name, verdict in verdicts.items() if verdict.chosen] == [expected]
    assert verdicts["reference"].runs
    assert verdicts["vendor"].runs == (expected == "vendor")
    assert all(verdict.reason for verdict in verdicts.values())


@pytest.mark.parametrize("options", [{"recurrent_dropout": 0.1}, {"zoneout": 0.1}, {"zoneout": {"c": 0.1}}])
def test_masks_move_training_to_the_reference_and_evaluation_back(options):
    rnn = Recurrent(LSTM, INPUT, HIDDEN, regularisation=Regularisation(**options))
    assert rnn.train().choose_backend() == "reference"
    assert rnn.eval().choose_backend() == ("vendor" if "recurrent_dropout" in options else "reference")
    chosen = [verdict for verdict in explain(LSTM, INPUT, HIDDEN, **options) if verdict.chosen]
    assert [verdict.backend for verdict in chosen] == ["reference"]


def test_what_does_not_touch_a_step_leaves_the_vendor():
    options = Regularisation(input_dropout=0.1, output_dropout=0.1, weight_drop=0.1)
    rnn = Recurrent(
        LSTM, INPUT, HIDDEN, regularisation=options, num_layers=2, bidirectional=True, dropout=0.1
    )
    assert rnn.train().choose_backend() == "vendor"


def test_gates_are_read_on_the_reference():
    assert Recurrent(LSTM, INPUT, HIDDEN).choose_backend(return_gates=True) == "reference"
    vendor = next(row for row in explain(LSTM, INPUT, HIDDEN, return_gates=True) if row.backend == "vendor")
    assert (vendor.runs, vendor.chosen) == (False, False)
    assert "gates" in vendor.reason


def test_the_cpu_backend_runs_where_it_is_named():
    (cpu,) = (row for row in explain(PeepholeLSTM, INPUT, HIDDEN) if row.backend == "cpu")
    assert not cpu.chosen
    if cpu.runs:
        assert "named" in cpu.reason
        assert Recurrent(PeepholeLSTM, INPUT, HIDDEN, backend="cpu").choose_backend() == "cpu"


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

    assert [row.backend for row in explain(Mine, INPUT, HIDDEN) if row.chosen] == ["reference"]
