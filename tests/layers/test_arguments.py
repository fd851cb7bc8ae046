"""What `Recurrent` checks of its arguments and of what it is called with."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

import cases
from recurra import Cell, CellError, ConfigError, Recurrent, ShapeError, State, StateError
from recurra.cells import LSTM
from recurra.layers.arguments import check_cell, check_lengths, widths

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 7
LENGTHS = (7, 0, 3, 5)


def inputs() -> Tensor:
    return torch.randn(BATCH, TIME, INPUT, dtype=torch.float64)


def test_lengths_may_be_of_any_whole_type_and_are_checked():
    rnn, x = cases.recurrent("gru", INPUT, HIDDEN), inputs()
    expected = rnn(x, None, torch.tensor(LENGTHS))[0]
    assert torch.equal(rnn(x, None, torch.tensor(LENGTHS, dtype=torch.int32))[0], expected)
    assert torch.equal(rnn(x, None, torch.tensor([TIME] * BATCH))[0], rnn(x)[0])
    for wrong in ([7, 0, 3], [8, 0, 3, 5], [-1, 0, 3, 5], [7.0, 0.0, 3.0, 5.0], [[7, 0, 3, 5]], [True] * 4):
        with pytest.raises(ShapeError, match="lengths: expected"):
            rnn(x, None, torch.tensor(wrong))
    with pytest.raises(ShapeError, match="lengths: expected"):
        rnn(x, None, list(LENGTHS))


@pytest.mark.parametrize("backend", ["vendor", "reference"])
def test_inputs_are_checked(backend):
    rnn = Recurrent(LSTM, INPUT, HIDDEN, backend=backend)
    for wrong in (torch.zeros(BATCH, INPUT), torch.zeros(BATCH, TIME, INPUT + 1)):
        with pytest.raises(ShapeError, match=r"x: expected \[batch, time, 3\]"):
            rnn(wrong)
    for dtype in (torch.int64, torch.float64):
        with pytest.raises(ShapeError, match="x: expected"):
            rnn(torch.zeros(BATCH, TIME, INPUT, dtype=dtype))


@pytest.mark.parametrize("bidirectional", [False, True])
def test_states_that_do_not_fit_are_refused_and_never_broadcast(bidirectional):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2, bidirectional=bidirectional)
    fits = cases.random_state(rnn, BATCH)
    rnn(inputs(), fits)

    def of(cell="lstm", hidden=HIDDEN, bidirectional=bidirectional):
        other = cases.recurrent(cell, INPUT, hidden, num_layers=2, bidirectional=bidirectional)
        return cases.random_state(other, BATCH)

    others = [
        fits.select(torch.tensor([0])),
        cases.random_state(rnn, BATCH + 1),
        State(fits.layers[:1]),
        of("gru"),
        of(hidden=1),
        of(bidirectional=not bidirectional),
        fits.map(lambda tensor: tensor[..., None]),
        fits.to(torch.float32),
    ]
    for other in others:
        with pytest.raises(StateError, match="state: "):
            rnn(inputs(), other)
    with pytest.raises(StateError, match="state: "):
        rnn(inputs(), tuple(tensor for _, tensor in fits.tensors()))


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"hidden_size": 0}, ConfigError, "hidden_size: expected"),
        ({"hidden_size": [4, 0]}, ConfigError, "hidden_size: expected"),
        ({"hidden_size": []}, ConfigError, "hidden_size: expected"),
        ({"hidden_size": [4, 5], "num_layers": 3}, ConfigError, "hidden_size: expected 3 widths"),
        ({"hidden_size": 4.5}, ConfigError, "hidden_size: expected"),
        ({"num_layers": 0}, ConfigError, "num_layers: expected"),
        ({"input_size": 0}, ShapeError, "input_size: expected"),
        ({"num_layers": 2, "dropout": -0.1}, ConfigError, r"dropout: expected a probability in \[0, 1\)"),
        ({"num_layers": 2, "dropout": 1.0}, ConfigError, "dropout: expected"),
        ({"dropout": 0.1}, ConfigError, "dropout acts between layers"),
        ({"initial_state": "zeros"}, ConfigError, "initial_state: expected"),
        ({"chunk": 0}, ConfigError, "chunk: expected"),
        ({"residual": True}, ConfigError, "residual"),
        ({"hidden_size": [4, 5], "residual": True}, ConfigError, "equally wide"),
        ({"bidirectional": True, "stateful": True}, ConfigError, "needs the whole sequence"),
        ({"cell": "lsmt"}, ConfigError, "cell: expected"),
        ({"cell": torch.nn.LSTMCell}, CellError, "cell: expected"),
    ],
)
def test_arguments_are_checked(arguments, error, message):
    with pytest.raises(error, match=message) as caught:
        Recurrent(**({"cell": LSTM, "input_size": INPUT, "hidden_size": HIDDEN} | arguments))
    assert "\n" not in str(caught.value)


def test_one_width_per_layer():
    assert widths(5, 3) == (5, 5, 5)
    assert widths([4, 6], 1) == widths([4, 6], 2) == (4, 6)
    with pytest.raises(ConfigError, match=r"expected 3 widths, one per layer, got \[4, 6\]"):
        widths([4, 6], 3)
    for wrong in (True, 0, 2.5):
        with pytest.raises(ConfigError, match="num_layers: expected a whole number of at least 1"):
            widths(5, wrong)


def test_a_cell_is_a_class_made_of_two_sizes():
    class Needy(Cell):
        gates = ("a",)

        def __init__(self, input_size, hidden_size, rate):
            super().__init__(input_size, hidden_size)

        def step(self, affine, h):
            return affine("a", h)

    check_cell(LSTM)
    check_cell(type("Eager", (Needy,), {"__init__": lambda self, i, h, rate=1: None}))
    with pytest.raises(CellError, match=r"cell: expected a subclass of recurra\.Cell"):
        check_cell(LSTM(2, 3))
    with pytest.raises(
        CellError, match=r"Needy\(input_size, hidden_size\), .*'rate'.* give further arguments a default"
    ):
        check_cell(Needy)


def test_lengths_that_cut_nothing_are_none():
    x = inputs()
    assert check_lengths(None, x) is None
    assert check_lengths(torch.full((BATCH,), TIME), x) is None
    assert check_lengths(torch.zeros(0, dtype=torch.int64), x[:0]) is None
    checked = check_lengths(torch.tensor(LENGTHS, dtype=torch.int16), x)
    assert checked.dtype == torch.int64
    assert checked.tolist() == list(LENGTHS)


@pytest.mark.parametrize(("rows", "noun"), [(1, "1 row"), (2, "2 rows")])
def test_counts_and_nouns_agree(rows, noun):
    rnn = cases.recurrent("gru", INPUT, HIDDEN)
    with pytest.raises(StateError, match=rf"has {noun} and the batch has {BATCH};"):
        rnn(inputs(), cases.random_state(rnn, rows))
