"""Cells on their own: parameters, initial values, and one step by hand."""

from __future__ import annotations

import pytest
import torch

import cases
import oracle
from recurra import Cell, CellError, ShapeError
from recurra.cells import CELLS, GRU, LSTM, GRUResetAfter
from recurra.engine import Call, reference

INPUT, HIDDEN, BATCH = 3, 5, 4


def small(cell_name: str) -> Cell:
    cell = CELLS[cell_name](INPUT, HIDDEN).double()
    cases.randomise(cell)
    return cell


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_one_step_equals_the_oracle(name):
    cell = small(name)
    x = torch.randn(BATCH, INPUT, dtype=torch.float64)
    states = [torch.randn(BATCH, HIDDEN, dtype=torch.float64) for _ in cell.state]
    new = cell(x, states if len(states) > 1 else states[0])
    new = new if isinstance(new, tuple) else (new,)
    start = [[dict(zip(cell.state, states, strict=True))]]
    _, expected = oracle.run(name, [[cell]], x[:, None], start)
    for state, value in zip(cell.state, new, strict=True):
        assert cases.difference(value, expected[0][0][state]) < 1e-12


def test_how_a_cell_is_called():
    x, h, c = torch.randn(BATCH, INPUT), torch.randn(BATCH, HIDDEN), torch.randn(BATCH, HIDDEN)
    new_h, new_c = LSTM(INPUT, HIDDEN)(x, (h, c))
    assert new_h.shape == new_c.shape == h.shape
    assert GRU(INPUT, HIDDEN)(x, h).shape == h.shape


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_parameters_are_those_documented(name):
    rows = len(oracle.GATES[name]) * HIDDEN
    shapes = {"input_weight": (rows, INPUT), "hidden_weight": (rows, HIDDEN), "bias": (rows,)}
    if name == "gru_reset_after":
        shapes["hidden_bias"] = (rows,)
    if "peephole" in name:
        shapes |= {f"vector_{gate}": (HIDDEN,) for gate in ("update", "forget", "output")}
    if name in oracle.WITHOUT_HIDDEN_WEIGHTS:
        del shapes["hidden_weight"]
    if name == "ind_rnn":
        shapes["vector_recurrent"] = (HIDDEN,)
    if name == "layer_norm_lstm":
        del shapes["bias"]
        normed = ("update", "forget", "candidate", "output", "memory")
        shapes |= {f"norm_{gate}_{part}": (HIDDEN,) for gate in normed for part in ("gain", "shift")}
    cell = CELLS[name](INPUT, HIDDEN)
    assert {key: tuple(value.shape) for key, value in cell.named_parameters()} == shapes
    assert cell.program.gates == oracle.GATES[name]
    assert cell.state == oracle.STATES[name]


@pytest.mark.parametrize("name", cases.ALL_CELLS)
def test_initial_values(name):
    """Forget 1 in LSTMs, other biases 0, gains 1, peepholes 0; Glorot and orthogonal weights, gate by gate."""
    hidden, inputs = 16, 9
    biases = {"forget": 1.0} if name.endswith("lstm") else {}
    if name == "coupled_lstm":
        biases = {"update": -1.0}
    cell = CELLS[name](inputs, hidden)
    limit = (6 / (inputs + hidden)) ** 0.5
    for gate in oracle.GATES[name]:
        weight = cell.rows("input_weight", gate)
        assert 0.8 * limit < weight.abs().max() <= limit
        if name not in oracle.WITHOUT_HIDDEN_WEIGHTS:
            square = cell.rows("hidden_weight", gate)
            torch.testing.assert_close(square @ square.T, torch.eye(hidden), rtol=0, atol=1e-5)
        if cell.bias is not None:
            assert (cell.rows("bias", gate) == biases.get(gate, 0.0)).all()
    assert cell.hidden_bias is None or not cell.hidden_bias.any()
    for key, value in cell.named_parameters():
        if key.startswith("vector_"):
            assert (value == float(key == "vector_recurrent")).all()
        if key.startswith("norm_"):
            assert (value == float(key.endswith("_gain") or key == "norm_forget_shift")).all()


def test_vectors_are_uniform_where_nothing_else_is_said():
    class Mine(Cell):
        gates = ("a",)
        vectors = ("scale", "fixed")
        initial_vector = {"fixed": 1.0}

        def step(self, affine, h):
            return (affine("a") + affine.vector("scale") * h + affine.vector("fixed")).tanh()

    cell = Mine(2, 64)
    assert 0.1 < cell.vector_scale.abs().max() <= 1 / 8
    assert (cell.vector_fixed == 1).all()
    assert cell.hidden_weight is None


def test_rows_exist_only_for_the_halves_that_are_used():
    class Mine(Cell):
        gates = ("both", "from_input", "from_hidden")

        def step(self, affine, h):
            return affine("both", h).tanh() + affine.input("from_input") * affine.hidden("from_hidden", h)

    cell = Mine(INPUT, HIDDEN)
    assert cell.program.input_gates == ("both", "from_input")
    assert cell.program.hidden_gates == ("both", "from_hidden")
    assert cell.program.hidden_bias_gates == ("from_hidden",)
    shapes = {key: tuple(value.shape) for key, value in cell.named_parameters()}
    assert shapes == {"input_weight": (10, 3), "hidden_weight": (10, 5), "bias": (10,), "hidden_bias": (5,)}


def test_has_bias_false_removes_both_biases():
    class Mine(GRUResetAfter):
        has_bias = False

    cell = Mine(INPUT, HIDDEN)
    assert cell.bias is None
    assert cell.hidden_bias is None


def test_initial_bias_under_a_norms_name_sets_its_shift():
    class Mine(CELLS["layer_norm_lstm"]):
        initial_bias = {"memory": 2.0}

    cell = Mine(INPUT, HIDDEN)
    assert (cell.norm_memory_shift == 2).all()
    assert not cell.norm_forget_shift.any()


@pytest.mark.parametrize("sizes", [(0, 5), (3, -1), (3, 2.0), (True, 3), ("3", 5)])
def test_sizes_are_checked(sizes):
    with pytest.raises(ShapeError, match=r"expected a whole number of at least 1"):
        LSTM(*sizes)


def test_a_step_checks_its_shapes():
    cell, x, h = LSTM(INPUT, HIDDEN), torch.zeros(BATCH, INPUT), torch.zeros(BATCH, HIDDEN)
    with pytest.raises(ShapeError, match=r"state: expected 2 \(h, c\), got 1"):
        cell(x, h)
    with pytest.raises(ShapeError, match="x_t: expected"):
        cell(torch.zeros(BATCH, INPUT + 1), (h, h))
    with pytest.raises(ShapeError, match="c: expected"):
        cell(x, (h, h[:1]))


def test_a_step_checks_its_types():
    cell, x, h = GRU(INPUT, HIDDEN), torch.zeros(BATCH, INPUT), torch.zeros(BATCH, HIDDEN)
    with pytest.raises(
        ShapeError, match=r"x_t: expected torch\.float32, the type of the weights, got torch\.float64"
    ):
        cell(x.double(), h)
    with pytest.raises(
        ShapeError, match=r"h: expected torch\.float32, the type of the weights, got torch\.float64"
    ):
        cell(x, h.double())
    with pytest.raises(
        ShapeError, match=r"x_t: expected torch\.float32, the type of the weights, got torch\.int64"
    ):
        cell(x.long(), h)
    with pytest.raises(ShapeError, match="x_t: expected a tensor, got list"):
        cell([0.0], h)
    with pytest.raises(ShapeError, match="h: expected a tensor, got str"):
        cell(x, {"h": h})
    with pytest.raises(ShapeError, match="state: expected a tensor or a sequence of tensors, got NoneType"):
        cell(x, None)


class Fading(Cell):
    """Nothing to learn."""

    state = ("h", "c")

    def step(self, affine, h, c):
        return 0.9 * h + c.tanh(), c - h


class FromInput(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return affine("a").tanh()


class FromState(Cell):
    gates = ("a",)

    def step(self, affine, h):
        return affine.hidden("a", h).tanh()


class FromVector(Cell):
    vectors = ("v",)

    def step(self, affine, h):
        return affine.vector("v").tanh()


class Tuple(Cell):
    gates = ("a",)
    has_bias = False

    def step(self, affine, h):
        return (affine("a", h).tanh(),)


class List(Cell):
    gates = ("a",)
    state = ("h", "c")
    has_bias = False

    def step(self, affine, h, c):
        return [affine.input("a").tanh() + h, affine.hidden("a", c)]


@pytest.mark.parametrize("cell_class", [Fading, FromInput, FromState, FromVector, Tuple, List])
@pytest.mark.parametrize("rows", [BATCH, 0])
def test_a_cell_that_lacks_something_runs(cell_class, rows):
    """By itself and as a program: without parameters, input, state, biases."""
    cell = cell_class(INPUT, HIDDEN).double()
    cases.randomise(cell)
    x = torch.randn(rows, INPUT, dtype=torch.float64)
    states = tuple(torch.randn(rows, HIDDEN, dtype=torch.float64) for _ in cell.state)
    expected = reference.run(Call(cell.program, cell.named_tensors(), x[:, None], states)).states
    new = cell(x, states if len(states) > 1 else states[0])
    assert isinstance(new, tuple) is (len(states) > 1)
    for ours, theirs in zip(new if isinstance(new, tuple) else (new,), expected, strict=True):
        assert ours.dtype == torch.float64
        assert cases.difference(ours, theirs) < 1e-12


def test_a_cell_without_parameters_has_the_type_of_its_states():
    cell, x = Fading(INPUT, HIDDEN), torch.randn(BATCH, INPUT)
    h = torch.randn(BATCH, HIDDEN)
    assert not list(cell.parameters())
    assert cell(x, (h.double(), h.double()))[0].dtype == torch.float64
    with pytest.raises(ShapeError, match=r"c: expected torch\.float32, the type of the other states, got"):
        cell(x, (h, h.double()))
    with pytest.raises(ShapeError, match=r"h: expected numbers with a fraction, got torch\.int64"):
        cell(x, (h.long(), h.long()))


@pytest.mark.parametrize("name", ["elman", "lstm", "layer_norm_lstm", "peephole_lstm"])
def test_under_autocast_states_keep_their_type(name):
    cell = CELLS[name](INPUT, HIDDEN)
    cases.randomise(cell)
    x, states = torch.randn(BATCH, INPUT), tuple(torch.randn(BATCH, HIDDEN) for _ in cell.state)
    exact = cell(x, states)
    with torch.autocast("cpu", torch.bfloat16):
        rough = cell(x, states)
        again = cell(x.bfloat16(), rough)
    for value, expected in zip(
        *(new if isinstance(new, tuple) else (new,) for new in (rough, exact)), strict=True
    ):
        assert value.dtype == torch.float32
        assert 0 < cases.difference(value, expected) < 3e-2
    assert all(value.dtype == torch.float32 for value in (again if isinstance(again, tuple) else (again,)))


def test_a_cell_without_step():
    with pytest.raises(CellError, match="Mine defines no step"):
        type("Mine", (Cell,), {"gates": ("a",)})(2, 3)
