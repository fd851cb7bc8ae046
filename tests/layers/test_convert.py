"""Converters, both ways: against PyTorch's modules, and against Keras's and ONNX's equations in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import cases
from recurra import Cell, CellError, Recurrent, Regularisation, ShapeError, StateError, convert
from recurra.cells import CELLS, LSTM

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
rng = np.random.default_rng(7)


def random_array(*shape: int) -> np.ndarray:
    return rng.normal(0.0, 0.5, shape)


# --- PyTorch ------------------------------------------------------------------------------------------

MODULES: dict[str, tuple[type[nn.RNNBase], dict[str, Any]]] = {
    "rnn_tanh": (nn.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (nn.RNN, {"nonlinearity": "relu"}),
    "gru": (nn.GRU, {}),
    "lstm": (nn.LSTM, {}),
}


def torch_module(kind: str, **options: Any) -> nn.RNNBase:
    module_class, extra = MODULES[kind]
    module = module_class(INPUT, HIDDEN, **extra, **options)
    cases.randomise(module)
    return module.eval()


def assert_same_as_module(rnn: Recurrent, module: nn.RNNBase) -> None:
    """Outputs and final states from a state that is not zero, to 1e-6."""
    directions = 2 if module.bidirectional else 1
    h = torch.randn(module.num_layers * directions, BATCH, HIDDEN)
    state = (h, torch.randn_like(h)) if isinstance(module, nn.LSTM) else h
    x = torch.randn(BATCH, TIME, INPUT)
    expected, final = module(x if module.batch_first else x.transpose(0, 1), state)
    outputs, own_final = rnn(x, convert.state_from_torch(state, module.bidirectional))
    expected = expected if module.batch_first else expected.transpose(0, 1)
    torch.testing.assert_close(outputs, expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(convert.state_to_torch(own_final), final, rtol=0, atol=1e-6)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("num_layers", "bidirectional"), [(1, False), (1, True), (3, False), (2, True)])
@pytest.mark.parametrize("kind", MODULES)
def test_torch_there_and_back(kind, num_layers, bidirectional, bias, batch_first):
    options = {"num_layers": num_layers, "bidirectional": bidirectional, "bias": bias}
    module = torch_module(kind, batch_first=batch_first, **options)
    rnn = convert.from_torch(module)
    assert_same_as_module(rnn, module)
    back = convert.to_torch(rnn, batch_first=batch_first)
    assert type(back) is type(module)
    assert back.state_dict().keys() == module.state_dict().keys()
    assert_same_as_module(rnn, back)


@pytest.mark.parametrize("cell", ["elman", "relu_elman", "gru_reset_after", "lstm"])
def test_recurrent_to_torch(cell):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, dtype=torch.float32, num_layers=2, bidirectional=True)
    assert_same_as_module(rnn, convert.to_torch(rnn))


def test_torch_dropout_mode_and_dtype_are_kept():
    module = nn.GRU(INPUT, HIDDEN, num_layers=2, dropout=0.3).double()
    rnn = convert.from_torch(module)
    assert (rnn.dropout, rnn.training) == (0.3, True)
    assert {parameter.dtype for parameter in rnn.parameters()} == {torch.float64}
    back = convert.to_torch(rnn.eval())
    assert (back.dropout, back.training, back.weight_ih_l0.dtype) == (0.3, False, torch.float64)


def test_conversion_copies():
    module = torch_module("lstm")
    rnn = convert.from_torch(module)
    before = rnn.cells[0][0].input_weight.clone()
    cases.randomise(module)
    assert torch.equal(rnn.cells[0][0].input_weight, before)


def test_own_cell_with_the_same_equations_converts():
    class Mine(Cell):
        gates = ("take", "keep", "fresh", "show")
        state = ("out", "memory")

        def step(self, affine, out, memory):
            memory = (
                affine("keep", out).sigmoid() * memory
                + affine("fresh", out).tanh() * affine("take", out).sigmoid()
            )
            return memory.tanh() * affine("show", out).sigmoid(), memory

    rnn = Recurrent(Mine, INPUT, HIDDEN)
    cases.randomise(rnn)
    module = convert.to_torch(rnn)
    assert isinstance(module, nn.LSTM)
    x = torch.randn(BATCH, TIME, INPUT)
    torch.testing.assert_close(rnn(x)[0], module(x)[0], rtol=0, atol=1e-6)


def test_own_cell_with_a_hidden_bias_for_one_gate_converts():
    class Mine(Cell):
        gates = ("reset", "update", "candidate")

        def step(self, affine, h):
            reset, update = affine("reset", h).sigmoid(), affine("update", h).sigmoid()
            candidate = (affine.input("candidate") + reset * affine.hidden("candidate", h)).tanh()
            return (1 - update) * candidate + update * h

    rnn = Recurrent(Mine, INPUT, HIDDEN)
    cases.randomise(rnn)
    x = torch.randn(BATCH, TIME, INPUT)
    expected = rnn(x)[0]
    torch.testing.assert_close(convert.to_torch(rnn)(x)[0], expected, rtol=0, atol=1e-6)
    kept = convert.from_keras(convert.to_keras(rnn), "GRU")
    torch.testing.assert_close(kept(x)[0], expected, rtol=0, atol=1e-6)


def test_what_torch_cannot_be_asked_for():
    with pytest.raises(CellError, match="proj_size=2"):
        convert.from_torch(nn.LSTM(INPUT, HIDDEN, proj_size=2))
    with pytest.raises(CellError, match=r"expected an nn\.RNN, nn\.GRU or nn\.LSTM, got Linear"):
        convert.from_torch(nn.Linear(2, 3))
    with pytest.raises(CellError, match="but not GRU"):
        convert.to_torch(Recurrent(CELLS["gru"], INPUT, HIDDEN))
    with pytest.raises(ShapeError, match="one hidden_size"):
        convert.to_torch(Recurrent(LSTM, INPUT, [4, 5], num_layers=2))
    for options in ({"initial_state": "learned"}, {"regularisation": Regularisation(zoneout=0.1)}):
        with pytest.raises(CellError, match=next(iter(options))):
            convert.to_torch(Recurrent(LSTM, INPUT, HIDDEN, **options))
    with pytest.raises(CellError, match="residual"):
        convert.to_torch(Recurrent(LSTM, HIDDEN, HIDDEN, num_layers=2, residual=True))


def test_state_shapes_are_checked():
    with pytest.raises(StateError, match=r"layers \* 2"):
        convert.state_from_torch(torch.zeros(3, BATCH, HIDDEN), bidirectional=True)
    with pytest.raises(StateError, match="equally wide"):
        convert.state_to_torch(Recurrent(LSTM, INPUT, [4, 5], num_layers=2).zero_state(2))


# --- the equations of Keras 3 and ONNX, in numpy ------------------------------------------------------

Step = Callable[[np.ndarray, list[np.ndarray]], list[np.ndarray]]


def sigmoid(a: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-a))


def relu(a: np.ndarray) -> np.ndarray:
    return np.maximum(a, 0)


def loop(step: Step, x: np.ndarray, states: list[np.ndarray]) -> np.ndarray:
    outputs = []
    for t in range(x.shape[1]):
        states = step(x[:, t], states)
        outputs.append(states[0])
    return np.stack(outputs, 1)


def through(steps: list[list[Step]], x: np.ndarray, hidden: int, count: int) -> np.ndarray:
    """`steps[layer][direction]` over x `[B, T, I]`, from zero states."""
    for directions in steps:
        zeros = [np.zeros((x.shape[0], hidden)) for _ in range(count)]
        sides = [loop(directions[0], x, zeros)]
        if len(directions) == 2:
            sides.append(loop(directions[1], x[:, ::-1], zeros)[:, ::-1])
        x = np.concatenate(sides, -1)
    return x


def keras_simple_rnn(kernel, recurrent, bias, activation) -> Step:
    return lambda x, s: [activation(x @ kernel + bias + s[0] @ recurrent)]


def keras_gru_reset_after(kernel, recurrent, bias) -> Step:
    def step(x, s):
        x_z, x_r, x_h = np.split(x @ kernel + bias[0], 3, -1)
        r_z, r_r, r_h = np.split(s[0] @ recurrent + bias[1], 3, -1)
        z, r = sigmoid(x_z + r_z), sigmoid(x_r + r_r)
        return [z * s[0] + (1 - z) * np.tanh(x_h + r * r_h)]

    return step


def keras_gru(kernel, recurrent, bias) -> Step:
    def step(x, s):
        x_z, x_r, x_h = np.split(x @ kernel + bias, 3, -1)
        u_z, u_r, u_h = np.split(recurrent, 3, -1)
        z, r = sigmoid(x_z + s[0] @ u_z), sigmoid(x_r + s[0] @ u_r)
        return [z * s[0] + (1 - z) * np.tanh(x_h + (r * s[0]) @ u_h)]

    return step


def keras_lstm(kernel, recurrent, bias) -> Step:
    def step(x, s):
        z_i, z_f, z_c, z_o = np.split(x @ kernel + s[0] @ recurrent + bias, 4, -1)
        c = sigmoid(z_f) * s[1] + sigmoid(z_i) * np.tanh(z_c)
        return [sigmoid(z_o) * np.tanh(c), c]

    return step


# name: gates, states, bias shape, equations, arguments of from_keras
KERAS = {
    "simple_rnn": (
        1,
        1,
        (HIDDEN,),
        lambda k, r, b: keras_simple_rnn(k, r, b, np.tanh),
        {"layer": "SimpleRNN"},
    ),
    "simple_rnn_relu": (
        1,
        1,
        (HIDDEN,),
        lambda k, r, b: keras_simple_rnn(k, r, b, relu),
        {"layer": "SimpleRNN", "activation": "relu"},
    ),
    "gru_reset_after": (3, 1, (2, 3 * HIDDEN), keras_gru_reset_after, {"layer": "GRU"}),
    "gru": (3, 1, (3 * HIDDEN,), keras_gru, {"layer": "GRU", "reset_after": False}),
    "lstm": (4, 2, (4 * HIDDEN,), keras_lstm, {"layer": "LSTM"}),
}
SHAPES = [(1, False), (1, True), (2, False), (2, True)]


def keras_outputs(
    name: str, arrays: list[np.ndarray], layers: int, bidirectional: bool, x: np.ndarray
) -> np.ndarray:
    _gates, states, bias_shape, equations, _ = KERAS[name]
    directions = 2 if bidirectional else 1
    per_block = len(arrays) // (layers * directions)
    blocks = [arrays[at : at + per_block] for at in range(0, len(arrays), per_block)]
    steps = [equations(*(block if len(block) == 3 else [*block, np.zeros(bias_shape)])) for block in blocks]
    grouped = [steps[at : at + directions] for at in range(0, len(steps), directions)]
    return through(grouped, x, HIDDEN, states)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("name", KERAS)
def test_keras_there_and_back(name, layers, bidirectional, use_bias):
    gates, _, bias_shape, _, arguments = KERAS[name]
    arrays, width = [], INPUT
    for _ in range(layers):
        for _ in range(2 if bidirectional else 1):
            arrays += [random_array(width, gates * HIDDEN), random_array(HIDDEN, gates * HIDDEN)]
            arrays += [random_array(*bias_shape)] if use_bias else []
        width = HIDDEN * (2 if bidirectional else 1)
    x = random_array(BATCH, TIME, INPUT)
    rnn = convert.from_keras(arrays, bidirectional=bidirectional, use_bias=use_bias, **arguments)
    expected = keras_outputs(name, arrays, layers, bidirectional, x)
    np.testing.assert_allclose(rnn(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-6)
    back = convert.to_keras(rnn)
    for array, original in zip(back, arrays, strict=True):
        np.testing.assert_allclose(array, original, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("cell", "name"),
    [("elman", "simple_rnn"), ("relu_elman", "simple_rnn_relu"), ("gru", "gru")]
    + [(name, name) for name in ("gru_reset_after", "lstm")],
)
def test_recurrent_to_keras(cell, name):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, bidirectional=True)
    x = random_array(BATCH, TIME, INPUT)
    expected = keras_outputs(name, convert.to_keras(rnn), 2, True, x)
    np.testing.assert_allclose(rnn(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-6)


def test_keras_refusals():
    kernel, recurrent = random_array(INPUT, 3 * HIDDEN), random_array(HIDDEN, 3 * HIDDEN)
    with pytest.raises(ShapeError, match="reset_after=True"):
        convert.from_keras([kernel, recurrent, random_array(3 * HIDDEN)], "GRU")
    with pytest.raises(ShapeError, match="reset_after=False"):
        convert.from_keras([kernel, recurrent, random_array(2, 3 * HIDDEN)], "GRU", reset_after=False)
    with pytest.raises(ShapeError, match="expected 3 for each layer"):
        convert.from_keras([kernel, recurrent], "GRU")
    with pytest.raises(ShapeError, match="input weights"):
        convert.from_keras([kernel, recurrent, random_array(4 * HIDDEN)], "LSTM")
    with pytest.raises(CellError, match="Did you mean 'LSTM'"):
        convert.from_keras([kernel, recurrent], "LTSM")
    with pytest.raises(CellError, match="relu"):
        convert.from_keras([kernel, recurrent], "GRU", activation="relu")
    with pytest.raises(ShapeError, match="floating-point"):
        convert.from_keras([np.zeros((2, 2), dtype=int)] * 3, "SimpleRNN")
    with pytest.raises(CellError, match="but not PeepholeLSTM"):
        convert.to_keras(Recurrent(CELLS["peephole_lstm"], INPUT, HIDDEN))


def onnx_step(operator: convert.OnnxOperator, direction: int) -> Step:
    """The equations of the ONNX operators, default activations (RNN: the one named)."""
    W, R = operator.W[direction], operator.R[direction]
    gates = W.shape[0] // HIDDEN
    B = np.zeros(2 * gates * HIDDEN) if operator.B is None else operator.B[direction]
    Wb, Rb = np.split(B, 2)
    P = np.zeros(3 * HIDDEN) if operator.P is None else operator.P[direction]
    P_i, P_o, P_f = np.split(P, 3)

    def rnn(x, s):
        activation = {"Tanh": np.tanh, "Relu": relu}[operator.activation]
        return [activation(x @ W.T + s[0] @ R.T + Wb + Rb)]

    def gru(x, s):
        (W_z, W_r, W_h), (R_z, R_r, R_h) = np.split(W, 3), np.split(R, 3)
        (Wb_z, Wb_r, Wb_h), (Rb_z, Rb_r, Rb_h) = np.split(Wb, 3), np.split(Rb, 3)
        z = sigmoid(x @ W_z.T + s[0] @ R_z.T + Wb_z + Rb_z)
        r = sigmoid(x @ W_r.T + s[0] @ R_r.T + Wb_r + Rb_r)
        if operator.linear_before_reset:
            h = np.tanh(x @ W_h.T + r * (s[0] @ R_h.T + Rb_h) + Wb_h)
        else:
            h = np.tanh(x @ W_h.T + (r * s[0]) @ R_h.T + Rb_h + Wb_h)
        return [(1 - z) * h + z * s[0]]

    def lstm(x, s):
        a_i, a_o, a_f, a_c = np.split(x @ W.T + s[0] @ R.T + Wb + Rb, 4, -1)
        i, f = sigmoid(a_i + P_i * s[1]), sigmoid(a_f + P_f * s[1])
        c = f * s[1] + i * np.tanh(a_c)
        return [sigmoid(a_o + P_o * c) * np.tanh(c), c]

    return {"RNN": rnn, "GRU": gru, "LSTM": lstm}[operator.op_type]


def onnx_outputs(operators: list[convert.OnnxOperator], x: np.ndarray) -> np.ndarray:
    steps = [[onnx_step(o, direction) for direction in range(o.W.shape[0])] for o in operators]
    return through(steps, x, HIDDEN, 2 if operators[0].op_type == "LSTM" else 1)


# name: gates, attributes, with peepholes
ONNX = {
    "elman": (1, {"op_type": "RNN"}, False),
    "relu_elman": (1, {"op_type": "RNN", "activation": "Relu"}, False),
    "gru": (3, {"op_type": "GRU"}, False),
    "gru_reset_after": (3, {"op_type": "GRU", "linear_before_reset": 1}, False),
    "lstm": (4, {"op_type": "LSTM"}, False),
    "peephole_lstm": (4, {"op_type": "LSTM"}, True),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("name", ONNX)
def test_onnx_there_and_back(name, layers, bidirectional, bias):
    gates, attributes, peepholes = ONNX[name]
    directions, width, operators = 2 if bidirectional else 1, INPUT, []
    for _ in range(layers):
        operators.append(
            convert.OnnxOperator(
                W=random_array(directions, gates * HIDDEN, width),
                R=random_array(directions, gates * HIDDEN, HIDDEN),
                B=random_array(directions, 2 * gates * HIDDEN) if bias else None,
                P=random_array(directions, 3 * HIDDEN) if peepholes else None,
                **attributes,
            )
        )
        width = HIDDEN * directions
    x = random_array(BATCH, TIME, INPUT)
    rnn = convert.from_onnx(*operators)
    expected = onnx_outputs(operators, x)
    np.testing.assert_allclose(rnn(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-6)
    back = convert.to_onnx(rnn)
    for operator, original in zip(back, operators, strict=True):
        assert (operator.B is None, operator.P is None) == (not bias, not peepholes)
        assert (operator.op_type, operator.linear_before_reset) == (
            original.op_type,
            original.linear_before_reset,
        )
    np.testing.assert_allclose(onnx_outputs(back, x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ONNX)
def test_recurrent_to_onnx(name):
    rnn = cases.recurrent(name, INPUT, HIDDEN, num_layers=2, bidirectional=True)
    x = random_array(BATCH, TIME, INPUT)
    expected = onnx_outputs(convert.to_onnx(rnn), x)
    np.testing.assert_allclose(rnn(torch.from_numpy(x))[0].detach().numpy(), expected, rtol=0, atol=1e-6)


def test_onnx_layers_of_different_width_and_one_without_bias():
    first = convert.OnnxOperator("GRU", random_array(1, 6, INPUT), random_array(1, 6, 2), random_array(1, 12))
    second = convert.OnnxOperator("GRU", random_array(1, 3 * HIDDEN, 2), random_array(1, 3 * HIDDEN, HIDDEN))
    rnn = convert.from_onnx(first, second)
    assert rnn.hidden_sizes == (2, HIDDEN)
    assert not rnn.cells[1][0].bias.any()


def test_onnx_refusals():
    W, R = random_array(1, 4 * HIDDEN, INPUT), random_array(1, 4 * HIDDEN, HIDDEN)
    with pytest.raises(CellError, match="Gers"):
        convert.to_onnx(Recurrent(CELLS["course_peephole_lstm"], INPUT, HIDDEN))
    with pytest.raises(CellError, match="but not LayerNormLSTM"):
        convert.to_onnx(Recurrent(CELLS["layer_norm_lstm"], INPUT, HIDDEN))
    with pytest.raises(CellError, match="no cell computes 'GRU Relu 0 False'"):
        convert.from_onnx(convert.OnnxOperator("GRU", W, R, activation="Relu"))
    with pytest.raises(CellError, match="of one kind"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W, R), convert.OnnxOperator("RNN", W, R))
    with pytest.raises(CellError, match="of one kind"):
        convert.from_onnx()
    with pytest.raises(ShapeError, match="B: expected"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W, R, random_array(1, 4 * HIDDEN)))
    with pytest.raises(ShapeError, match="R: expected"):
        convert.from_onnx(convert.OnnxOperator("GRU", W, R))
    with pytest.raises(ShapeError, match="expected W"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W[0], R[0]))
