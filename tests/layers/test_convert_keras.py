"""To and from Keras 3's layers, against their equations in numpy."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

import cases
import numpy_layers
from numpy_layers import KERAS_ACTIVATIONS
from recurra import CellError, ConfigError, Recurrent, Regularisation, ShapeError, convert
from recurra.cells import CELLS, LSTM
from recurra.layers.dropout import dropout_mask

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
rng = np.random.default_rng(7)


def random_array(*shape: int) -> np.ndarray:
    return rng.normal(0.0, 0.5, shape)


# name: gates, states, bias shape, equations, arguments of from_keras
KERAS = {
    "simple_rnn": (1, 1, (HIDDEN,), numpy_layers.keras_simple_rnn, {"layer": "SimpleRNN"}),
    "simple_rnn_relu": (
        1,
        1,
        (HIDDEN,),
        lambda k, r, b: numpy_layers.keras_simple_rnn(k, r, b, numpy_layers.relu),
        {"layer": "SimpleRNN", "activation": "relu"},
    ),
    "gru_reset_after": (3, 1, (2, 3 * HIDDEN), numpy_layers.keras_gru_reset_after, {"layer": "GRU"}),
    "gru": (3, 1, (3 * HIDDEN,), numpy_layers.keras_gru, {"layer": "GRU", "reset_after": False}),
    "lstm": (4, 2, (4 * HIDDEN,), numpy_layers.keras_lstm, {"layer": "LSTM"}),
}
SHAPES = [(1, False), (1, True), (2, False), (2, True)]


def random_arrays(name: str, layers: int = 1, bidirectional: bool = False, use_bias: bool = True) -> list:
    gates, _, bias_shape, _, _ = KERAS[name]
    arrays, width = [], INPUT
    for _ in range(layers):
        for _ in range(2 if bidirectional else 1):
            arrays += [random_array(width, gates * HIDDEN), random_array(HIDDEN, gates * HIDDEN)]
            arrays += [random_array(*bias_shape)] if use_bias else []
        width = HIDDEN * (2 if bidirectional else 1)
    return arrays


def keras_outputs(
    name: str, arrays: list[np.ndarray], layers: int, bidirectional: bool, x: np.ndarray
) -> np.ndarray:
    _gates, states, bias_shape, equations, _ = KERAS[name]
    directions = 2 if bidirectional else 1
    per_block = len(arrays) // (layers * directions)
    blocks = [arrays[at : at + per_block] for at in range(0, len(arrays), per_block)]
    steps = [equations(*(block if len(block) == 3 else [*block, np.zeros(bias_shape)])) for block in blocks]
    grouped = [steps[at : at + directions] for at in range(0, len(steps), directions)]
    return numpy_layers.through(grouped, x, HIDDEN, states)


def assert_same(rnn: Recurrent, x: np.ndarray, expected: np.ndarray) -> None:
    outputs = rnn(torch.from_numpy(x))[0].detach()
    assert cases.difference(outputs, torch.from_numpy(expected)) < (1e-8 if x.dtype == np.float64 else 1e-6)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(("layers", "bidirectional"), SHAPES)
@pytest.mark.parametrize("name", KERAS)
def test_there_and_back(name, layers, bidirectional, use_bias):
    arrays = random_arrays(name, layers, bidirectional, use_bias)
    x = random_array(BATCH, TIME, INPUT)
    given = {"bidirectional": bidirectional, "use_bias": use_bias, **KERAS[name][-1]}
    rnn = convert.from_keras(arrays, **given)
    assert_same(rnn, x, keras_outputs(name, arrays, layers, bidirectional, x))
    for array, original in zip(convert.to_keras(rnn), arrays, strict=True):
        np.testing.assert_allclose(array, original, rtol=0, atol=1e-12)
    arguments = convert.keras_arguments(rnn)
    assert arguments.items() >= given.items()
    again = convert.from_keras(convert.to_keras(rnn), **arguments)
    assert again.cells[0][0].program.key == rnn.cells[0][0].program.key


@pytest.mark.parametrize(
    ("cell", "name"),
    [("elman", "simple_rnn"), ("relu_elman", "simple_rnn_relu"), ("gru", "gru")]
    + [(name, name) for name in ("gru_reset_after", "lstm")],
)
def test_recurrent_to_keras(cell, name):
    rnn = cases.recurrent(cell, INPUT, HIDDEN, num_layers=2, bidirectional=True)
    x = random_array(BATCH, TIME, INPUT)
    assert_same(rnn, x, keras_outputs(name, convert.to_keras(rnn), 2, True, x))
    arguments = convert.keras_arguments(rnn)
    assert arguments.items() >= KERAS[name][-1].items()
    assert arguments["bidirectional"] is True
    assert ("recurrent_activation" in arguments) == (arguments["layer"] != "SimpleRNN")
    assert ("reset_after" in arguments) == (arguments["layer"] == "GRU")


# --- activations --------------------------------------------------------------------------------------

CHOICES = [
    *[("simple_rnn", name, "sigmoid") for name in KERAS_ACTIVATIONS],
    *[
        (layer, activation, recurrent)
        for layer in ("gru_reset_after", "gru", "lstm")
        for activation, recurrent in [
            ("tanh", "hard_sigmoid"),
            ("relu", "sigmoid"),
            ("softsign", "tanh"),
            ("linear", "hard_sigmoid"),
            ("sigmoid", "softsign"),
            ("elu", "softplus"),
        ]
    ],
]


@pytest.mark.parametrize(("name", "activation", "recurrent_activation"), CHOICES)
def test_other_activations(name, activation, recurrent_activation):
    _, states, _, equations, arguments = KERAS[name]
    arrays, x = random_arrays(name), 2 * random_array(BATCH, TIME, INPUT)
    arguments = {**arguments, "activation": activation}
    functions = [KERAS_ACTIVATIONS[activation]]
    if name != "simple_rnn":
        arguments["recurrent_activation"] = recurrent_activation
        functions.append(KERAS_ACTIVATIONS[recurrent_activation])
    rnn = convert.from_keras(arrays, **arguments)
    rnn.backend = "reference"
    assert_same(rnn, x, numpy_layers.through([[equations(*arrays, *functions)]], x, HIDDEN, states))
    assert convert.keras_arguments(rnn).items() >= arguments.items()
    for array, original in zip(convert.to_keras(rnn), arrays, strict=True):
        np.testing.assert_allclose(array, original, rtol=0, atol=1e-12)


def test_other_activations_without_biases():
    arrays = random_arrays("lstm", use_bias=False)
    rnn = convert.from_keras(arrays, "LSTM", use_bias=False, recurrent_activation="hard_sigmoid")
    assert rnn.cells[0][0].bias is None
    assert convert.keras_arguments(rnn)["use_bias"] is False


# --- dropout ------------------------------------------------------------------------------------------


def test_dropout_where_the_masks_are_ours():
    """Keras's dropout: one mask for the layer's input and one for h, of all steps; a SimpleRNN has one gate."""
    arrays = random_arrays("lstm", layers=2)
    rnn = convert.from_keras(arrays, "LSTM", dropout=0.4)
    assert rnn.regularisation == Regularisation(input_dropout=0.4)
    assert convert.keras_arguments(rnn)["dropout"] == 0.4
    assert len(convert.to_keras(rnn)) == 6

    kernel, recurrent, bias = arrays = random_arrays("simple_rnn")
    rnn = convert.from_keras(arrays, "SimpleRNN", dropout=0.25, recurrent_dropout=0.5).train()
    arguments = convert.keras_arguments(rnn)
    assert (arguments["dropout"], arguments["recurrent_dropout"]) == (0.25, 0.5)
    x = torch.from_numpy(random_array(BATCH, TIME, INPUT))
    torch.manual_seed(11)
    outputs = rnn(x)[0].detach().numpy()
    torch.manual_seed(11)
    on_input = dropout_mask(x, (BATCH, INPUT), 0.25).numpy()
    on_recurrent = dropout_mask(x, (BATCH, HIDDEN), 0.5).numpy()
    h = np.zeros((BATCH, HIDDEN))
    for t in range(TIME):
        h = np.tanh((x[:, t].numpy() * on_input) @ kernel + bias + (h * on_recurrent) @ recurrent)
        np.testing.assert_allclose(outputs[:, t], h, rtol=0, atol=1e-12)


def test_dropout_where_the_masks_differ():
    """Keras draws a mask for each gate as soon as recurrent_dropout is set, and for each direction."""
    for layer in ("GRU", "LSTM"):
        with pytest.raises(
            CellError, match=rf"^recurrent_dropout: Keras's {layer} draws a mask for each gate"
        ):
            convert.from_keras([], layer, recurrent_dropout=0.1)
        rnn = Recurrent(CELLS[layer.lower()], 3, 5, regularisation=Regularisation(recurrent_dropout=0.1))
        for to in (convert.to_keras, convert.keras_arguments):
            with pytest.raises(CellError, match=rf"^{to.__name__}: regularisation\.recurrent_dropout"):
                to(rnn)
    with pytest.raises(CellError, match=r"^dropout: Keras draws a mask for each direction"):
        convert.from_keras([], "SimpleRNN", bidirectional=True, dropout=0.1)
    with pytest.raises(
        CellError, match=r"to_keras: regularisation\.input_dropout: Keras draws a mask for each"
    ):
        convert.to_keras(
            Recurrent(LSTM, 3, 5, bidirectional=True, regularisation=Regularisation(input_dropout=0.1))
        )
    for name in ("dropout", "recurrent_dropout"):
        with pytest.raises(ConfigError, match=rf"^{name}: expected a probability in \[0, 1\), got 1\.0"):
            convert.from_keras([], "SimpleRNN", **{name: 1.0})


# --- what is refused ----------------------------------------------------------------------------------


def test_refusals():
    kernel, recurrent = random_array(INPUT, 3 * HIDDEN), random_array(HIDDEN, 3 * HIDDEN)
    with pytest.raises(ShapeError, match="reset_after=True"):
        convert.from_keras([kernel, recurrent, random_array(3 * HIDDEN)], "GRU")
    with pytest.raises(ShapeError, match="reset_after=False"):
        convert.from_keras([kernel, recurrent, random_array(2, 3 * HIDDEN)], "GRU", reset_after=False)
    with pytest.raises(ShapeError, match="expected 3 for each layer"):
        convert.from_keras([kernel, recurrent], "GRU")
    with pytest.raises(ShapeError, match="input weights"):
        convert.from_keras([kernel, recurrent, random_array(4 * HIDDEN)], "LSTM")
    with pytest.raises(CellError, match=r"^layer: .*, got 'LTSM'\. Did you mean 'LSTM'"):
        convert.from_keras([kernel, recurrent], "LTSM")
    for name in ("activation", "recurrent_activation"):
        with pytest.raises(CellError, match=f"^{name}: expected one of tanh, .*, got 'selu'"):
            convert.from_keras([kernel, recurrent], "GRU", **{name: "selu"})
    with pytest.raises(CellError, match=r"^recurrent_activation: a SimpleRNN has none, got 'tanh'"):
        convert.from_keras([kernel, recurrent], "SimpleRNN", recurrent_activation="tanh")
    with pytest.raises(CellError, match="but not PeepholeLSTM"):
        convert.to_keras(Recurrent(CELLS["peephole_lstm"], INPUT, HIDDEN))
    for op_type, rows, attributes, name in [
        ("RNN", HIDDEN, {"clip": 1.0}, "Elman(tanh, clip=1)"),
        ("LSTM", 4 * HIDDEN, {"input_forget": 1}, "CoupledLSTM"),
        ("LSTM", 4 * HIDDEN, {"activations": ("Sigmoid", "Tanh", "Relu")}, "LSTM(sigmoid, tanh, relu)"),
        ("RNN", HIDDEN, {"activations": ("HardSigmoid",)}, "Elman(hard_sigmoid_fifth)"),
    ]:
        W, R, B = (random_array(1, *shape) for shape in [(rows, INPUT), (rows, HIDDEN), (2 * rows,)])
        rnn = convert.from_onnx(convert.OnnxOperator(op_type, W, R, B, **attributes))
        with pytest.raises(CellError, match=rf"but not {re.escape(name)}\."):
            convert.to_keras(rnn)


@pytest.mark.parametrize("dtype", [int, np.complex128, np.longdouble, bool])
def test_arrays_of_other_types_are_refused(dtype):
    with pytest.raises(ShapeError, match=r"arrays\[0\]: expected an array of float16, float32 or float64"):
        convert.from_keras([np.zeros((5, 5), dtype=dtype)] * 3, "SimpleRNN")


def test_arrays_of_mixed_types_are_refused_and_byte_order_is_not_a_type():
    arrays = [array.astype(np.float32) for array in random_arrays("lstm")]
    arrays[2] = arrays[2].astype(">f4")
    x = random_array(BATCH, TIME, INPUT).astype(np.float32)
    assert_same(convert.from_keras(arrays, "LSTM"), x, keras_outputs("lstm", arrays, 1, False, x))
    arrays[2] = arrays[2].astype(np.float64)
    with pytest.raises(ShapeError, match=r"in torch\.float32 on cpu, .* got torch\.float64"):
        convert.from_keras(arrays, "LSTM")
