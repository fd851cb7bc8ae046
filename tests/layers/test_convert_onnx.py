"""To and from ONNX's operators, against their equations in numpy."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

import cases
from numpy_layers import ONNX_ACTIVATIONS, onnx_outputs
from recurra import CellError, Recurrent, ShapeError, convert
from recurra.cells import CELLS, GRU, LSTM, Cell, CoupledLSTM, Elman

INPUT, HIDDEN, BATCH, TIME = 3, 5, 4, 6
GATES = {"RNN": 1, "GRU": 3, "LSTM": 4}
rng = np.random.default_rng(8)


def random_array(*shape: int) -> np.ndarray:
    return rng.normal(0.0, 0.5, shape)


def operator(
    op_type: str,
    directions: int = 1,
    width: int = INPUT,
    bias: bool = True,
    peepholes: bool = False,
    **attributes,
) -> convert.OnnxOperator:
    rows = GATES[op_type] * HIDDEN
    return convert.OnnxOperator(
        op_type,
        random_array(directions, rows, width),
        random_array(directions, rows, HIDDEN),
        random_array(directions, 2 * rows) if bias else None,
        random_array(directions, 3 * HIDDEN) if peepholes else None,
        **attributes,
    )


def attributes_of(one: convert.OnnxOperator) -> dict:
    """All but the weights."""
    return {field.name: getattr(one, field.name) for field in fields(one) if field.name not in "WRBP"}


def assert_same(rnn: Recurrent, x: np.ndarray, expected: np.ndarray) -> None:
    outputs = rnn(torch.from_numpy(x))[0].detach()
    assert cases.difference(outputs, torch.from_numpy(expected)) < 1e-8


# name: op_type, attributes, with peepholes
ONNX = {
    "elman": ("RNN", {}, False),
    "relu_elman": ("RNN", {"activations": ("Relu",)}, False),
    "gru": ("GRU", {}, False),
    "gru_reset_after": ("GRU", {"linear_before_reset": 1}, False),
    "lstm": ("LSTM", {}, False),
    "coupled_lstm": ("LSTM", {"input_forget": 1}, False),
    "peephole_lstm": ("LSTM", {}, True),
}


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("layers", "bidirectional"), [(1, False), (1, True), (2, False), (2, True)])
@pytest.mark.parametrize("name", ONNX)
def test_there_and_back(name, layers, bidirectional, bias):
    op_type, attributes, peepholes = ONNX[name]
    directions = 2 if bidirectional else 1
    if "activations" in attributes:
        attributes = {"activations": attributes["activations"] * directions}
    widths = [INPUT, HIDDEN * directions][:layers]
    operators = [operator(op_type, directions, width, bias, peepholes, **attributes) for width in widths]
    x = random_array(BATCH, TIME, INPUT)
    rnn = convert.from_onnx(*operators)
    expected = onnx_outputs(operators, x)
    assert_same(rnn, x, expected)
    back = convert.to_onnx(rnn)
    for one, original in zip(back, operators, strict=True):
        assert (one.B is None, one.P is None) == (not bias, not peepholes)
        assert attributes_of(one) == attributes_of(original)
    np.testing.assert_allclose(onnx_outputs(back, x), expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", ONNX)
def test_recurrent_to_onnx(name):
    rnn = cases.recurrent(name, INPUT, HIDDEN, num_layers=2, bidirectional=True)
    x = random_array(BATCH, TIME, INPUT)
    assert_same(rnn, x, onnx_outputs(convert.to_onnx(rnn), x))
    assert {type(cell) for cells in convert.from_onnx(*convert.to_onnx(rnn)).cells for cell in cells} == {
        CELLS[name]
    }


# --- attributes ---------------------------------------------------------------------------------------


def test_what_is_left_out_has_the_specifications_default():
    for op_type, activations in [("RNN", ("Tanh",)), ("GRU", ("Sigmoid", "Tanh"))]:
        one = operator(op_type)
        assert (one.direction, one.activations) == ("forward", activations)
        assert (one.layout, one.clip, one.input_forget, one.linear_before_reset) == (0, None, 0, 0)
    one = operator("LSTM", 2)
    assert (one.direction, one.activations) == ("bidirectional", ("Sigmoid", "Tanh", "Tanh") * 2)


ATTRIBUTES = [
    *[("RNN", False, {"activations": (name,)}) for name in ONNX_ACTIVATIONS],
    ("RNN", False, {"activations": ("LeakyRelu",), "clip": 0.9}),
    ("GRU", False, {"clip": 0.7}),
    ("GRU", False, {"clip": 0.7, "linear_before_reset": 1, "activations": ("HardSigmoid", "Elu")}),
    ("GRU", False, {"activations": ("HardSigmoid", "Softsign")}),
    ("GRU", False, {"activations": ("Tanh", "Sigmoid"), "linear_before_reset": 1}),
    ("LSTM", False, {"clip": 0.6}),
    ("LSTM", True, {"clip": 0.6}),
    ("LSTM", True, {"input_forget": 1}),
    ("LSTM", True, {"input_forget": 1, "clip": 0.6, "activations": ("HardSigmoid", "Softsign", "Relu")}),
    ("LSTM", False, {"input_forget": 1, "activations": ("Sigmoid", "Softplus", "Tanh")}),
    ("LSTM", False, {"activations": ("Softsign", "Sigmoid", "Elu"), "clip": 1.5}),
    ("LSTM", True, {"activations": ("HardSigmoid", "Tanh", "Sigmoid")}),
]


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("directions", [1, 2])
@pytest.mark.parametrize(("op_type", "peepholes", "attributes"), ATTRIBUTES)
def test_attributes_are_honoured_and_come_back(op_type, peepholes, attributes, directions, bias):
    attributes = dict(attributes)
    if "activations" in attributes:
        attributes["activations"] *= directions
    one = operator(op_type, directions, bias=bias, peepholes=peepholes, **attributes)
    x = 3 * random_array(BATCH, TIME, INPUT)
    rnn = convert.from_onnx(one)
    rnn.backend = "reference"
    expected = onnx_outputs([one], x)
    assert_same(rnn, x, expected)
    (back,) = convert.to_onnx(rnn)
    assert attributes_of(back) == attributes_of(one)
    np.testing.assert_allclose(onnx_outputs([back], x), expected, rtol=0, atol=1e-6)
    again = convert.from_onnx(back)
    assert again.cells[0][0].program.key == rnn.cells[0][0].program.key


def test_gradients_of_other_activations_exist():
    """At 0 and far from it, where exp overflows."""
    for name in ONNX_ACTIVATIONS:
        rnn = convert.from_onnx(operator("RNN", activations=[name]))
        rnn.backend = "reference"
        x = torch.tensor([0.0, 1e3, -1e3]).double().expand(INPUT, 3).T.unsqueeze(1).requires_grad_()
        rnn(x)[0].sum().backward()
        assert x.grad.isfinite().all(), name


def test_other_backends_run_a_variant():
    rnn = convert.from_onnx(
        operator("GRU", clip=0.8, activations=["HardSigmoid", "Tanh"]),
    )
    x, state = torch.randn(BATCH, TIME, INPUT).double(), cases.random_state(rnn, BATCH)
    lengths = torch.tensor([6, 0, 3, 1])
    outputs = {}
    for backend in ("reference", "cpu"):
        rnn.backend = backend
        outputs[backend] = rnn(x, state, lengths)[0]
    assert cases.difference(outputs["cpu"], outputs["reference"]) < 1e-12


def test_layout_is_kept_and_changes_no_weights():
    rnn = cases.recurrent("lstm", INPUT, HIDDEN)
    first, second = convert.to_onnx(rnn)[0], convert.to_onnx(rnn, layout=1)[0]
    assert (first.layout, second.layout) == (0, 1)
    np.testing.assert_array_equal(first.W, second.W)
    x = torch.from_numpy(random_array(BATCH, TIME, INPUT))
    torch.testing.assert_close(convert.from_onnx(second)(x)[0], rnn(x)[0], rtol=0, atol=0)


def test_parameters_of_activations():
    """The defaults convert, for those activations that take one; others are refused by name."""
    names = ["HardSigmoid", "Tanh", "LeakyRelu"]
    one = operator("LSTM", activations=names, activation_alpha=np.float32([0.2, 0.01]), activation_beta=[0.5])
    assert (one.activation_alpha, one.activation_beta) == (None, None)
    both = [*names, *names]
    operator("LSTM", 2, activations=both, activation_alpha=[0.2, 0.01] * 2, activation_beta=[0.5] * 2)
    operator("LSTM", activation_alpha=[], activation_beta=[])
    for name, values, defaults in [
        ("activation_alpha", [0.2, 0.02], r"\[0\.2, 0\.01\]"),
        ("activation_alpha", [0.2, 0.0, 0.01], r"\[0\.2, 0\.01\]"),
        ("activation_alpha", [], r"\[0\.2, 0\.01\]"),
        ("activation_beta", [0.4], r"\[0\.5\]"),
    ]:
        with pytest.raises(CellError, match=f"^{name}: only the defaults convert, {defaults}"):
            operator("LSTM", activations=names, **{name: values})
    with pytest.raises(CellError, match=r"^activation_alpha: only the defaults convert, \[\]"):
        operator("GRU", activation_alpha=[0.2])


def test_forget_rows_of_coupled_gates_are_not_read():
    one = operator("LSTM", peepholes=True, input_forget=1)
    forget = slice(2 * HIDDEN, 3 * HIDDEN)
    other = replace(one, W=one.W.copy(), R=one.R.copy(), B=one.B.copy(), P=one.P.copy())
    for array in (other.W, other.R, other.B, other.B[:, 4 * HIDDEN :], other.P):
        array[:, forget] += 1.0
    x = torch.from_numpy(random_array(BATCH, TIME, INPUT))
    torch.testing.assert_close(convert.from_onnx(one)(x)[0], convert.from_onnx(other)(x)[0], rtol=0, atol=0)
    (back,) = convert.to_onnx(convert.from_onnx(one))
    assert not any(array[:, forget].any() for array in (back.W, back.R, back.B, back.P))
    assert isinstance(convert.from_onnx(operator("LSTM", input_forget=1)).cells[0][0], CoupledLSTM)


# --- a user's own cells -------------------------------------------------------------------------------


def test_own_cells_are_recognised_by_what_they_compute():
    class Clipped(Cell):
        gates = ("c",)

        def step(self, affine, h):
            return affine("c", h).clamp(-0.3, 0.3).sigmoid()

    class OtherSign(GRU):
        def step(self, affine, h):
            update, reset = affine("update", h).sigmoid(), affine("reset", h).sigmoid()
            return update * h + (1 - update) * affine("candidate", reset * h).tanh()

    for cell, expected in [
        (Clipped, {"op_type": "RNN", "clip": 0.3, "activations": ("Sigmoid",)}),
        (OtherSign, {"op_type": "GRU", "clip": None, "activations": ("Sigmoid", "Tanh")}),
    ]:
        rnn = Recurrent(cell, INPUT, HIDDEN, backend="reference").double()
        cases.randomise(rnn)
        (one,) = convert.to_onnx(rnn)
        assert attributes_of(one).items() >= expected.items()
        x = random_array(BATCH, TIME, INPUT)
        assert_same(rnn, x, onnx_outputs([one], x))


def test_own_cells_that_are_nearly_so_are_refused():
    class Lopsided(Elman):
        def step(self, affine, h):
            return affine("candidate", h).clamp(-0.3, 0.4).tanh()

    class Steep(Elman):
        def step(self, affine, h):
            return (0.3 * affine("candidate", h) + 0.5).clamp(0.0, 1.0)

    class ClippedMemory(LSTM):
        def step(self, affine, h, c):
            h, c = super().step(affine, h, c)
            return h, c.clamp(-3.0, 3.0)

    for cell in (Lopsided, Steep, ClippedMemory, cases.Everything):
        with pytest.raises(CellError, match=f"but not {cell.__name__}"):
            convert.to_onnx(Recurrent(cell, INPUT, HIDDEN))


# --- what is refused ----------------------------------------------------------------------------------


def test_layers_of_different_width_and_one_without_bias():
    first = convert.OnnxOperator("GRU", random_array(1, 6, INPUT), random_array(1, 6, 2), random_array(1, 12))
    second = convert.OnnxOperator("GRU", random_array(1, 3 * HIDDEN, 2), random_array(1, 3 * HIDDEN, HIDDEN))
    rnn = convert.from_onnx(first, second)
    assert rnn.hidden_sizes == (2, HIDDEN)
    assert not rnn.cells[1][0].bias.any()
    assert all(parameter.requires_grad for parameter in rnn.parameters())


@pytest.mark.parametrize(
    ("op_type", "attributes", "message"),
    [
        ("LSTM", {"direction": "backward"}, "direction: expected one of forward, reverse, bidirectional"),
        ("LSTM", {"layout": 2}, "layout: expected 0 or 1, got 2"),
        ("LSTM", {"input_forget": -1}, "input_forget: expected 0 or 1, got -1"),
        ("GRU", {"input_forget": 1}, "input_forget: belongs to LSTM and GRU has none"),
        ("LSTM", {"linear_before_reset": 1}, "linear_before_reset: belongs to GRU and LSTM has none"),
        ("RNN", {"peepholes": True}, "P: belongs to LSTM and RNN has none"),
        ("RNN", {"clip": 0.0}, "clip: expected a number greater than 0, or None, got 0.0"),
        ("RNN", {"clip": float("nan")}, "clip: expected a number greater than 0, or None, got nan"),
        (
            "RNN",
            {"activations": ["Tanh", "Tanh"]},
            r"activations: RNN with direction 'forward' has 1, got \[",
        ),
        ("GRU", {"activations": ["Tanh"], "directions": 2}, "GRU with direction 'bidirectional' has 4"),
        ("RNN", {"activations": ["Affine"]}, "activations: expected one of Tanh, .*, got 'Affine'"),
        ("RNN", {"activations": ["tanh"]}, "got 'tanh'. Did you mean 'Tanh'"),
    ],
)
def test_attributes_that_are_refused(op_type, attributes, message):
    with pytest.raises(CellError, match=f"^{message}" if message[0] not in "gG" else message):
        operator(op_type, **attributes)


def test_direction():
    one = operator("LSTM", direction="reverse")
    with pytest.raises(CellError, match='direction "reverse" has no counterpart'):
        convert.from_onnx(one)
    # The remedy that the message names.
    x = random_array(BATCH, TIME, INPUT)
    expected = onnx_outputs([one], x[:, ::-1])[:, ::-1]
    rnn = convert.from_onnx(replace(one, direction="forward"))
    outputs = rnn(torch.from_numpy(x).flip(1))[0].flip(1)
    np.testing.assert_allclose(outputs.detach().numpy(), expected, rtol=0, atol=1e-6)
    for direction, found in [("forward", 2), ("reverse", 2), ("bidirectional", 1)]:
        with pytest.raises(ShapeError, match=f"W: direction '{direction}' has {3 - found} on the first axis"):
            operator("GRU", found, direction=direction)
    halves = ["Tanh", "Relu"]
    with pytest.raises(CellError, match="activations: expected the same for both directions"):
        convert.from_onnx(operator("RNN", 2, activations=halves))


def test_refusals():
    W, R = random_array(1, 4 * HIDDEN, INPUT), random_array(1, 4 * HIDDEN, HIDDEN)
    with pytest.raises(CellError, match="Gers"):
        convert.to_onnx(Recurrent(CELLS["course_peephole_lstm"], INPUT, HIDDEN))
    with pytest.raises(CellError, match="but not LayerNormLSTM"):
        convert.to_onnx(Recurrent(CELLS["layer_norm_lstm"], INPUT, HIDDEN))
    with pytest.raises(
        CellError, match=r"op_type: expected one of RNN, GRU, LSTM, got 'LTSM'\. Did you mean"
    ):
        convert.OnnxOperator("LTSM", W, R)
    with pytest.raises(CellError, match="of one kind, got none"):
        convert.from_onnx()
    for other in (
        operator("GRU", width=HIDDEN),
        operator("LSTM", width=HIDDEN, clip=3.0),
        operator("LSTM", width=HIDDEN, peepholes=True),
        operator("LSTM", width=HIDDEN, input_forget=1),
        operator("LSTM", width=HIDDEN, layout=1),
    ):
        with pytest.raises(CellError, match=r"of one kind, got LSTM direction='forward'.*; "):
            convert.from_onnx(convert.OnnxOperator("LSTM", W, R), other)
    with pytest.raises(ShapeError, match="B: expected"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W, R, random_array(1, 4 * HIDDEN)))
    with pytest.raises(ShapeError, match="R: expected"):
        convert.from_onnx(convert.OnnxOperator("GRU", W, R))
    with pytest.raises(ShapeError, match="W: expected"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W[:, :-1], R))
    with pytest.raises(ShapeError, match="expected W"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W[0], R[0]))
    with pytest.raises(ShapeError, match=r"B: expected an array of float16, float32 or float64, got int64"):
        convert.from_onnx(convert.OnnxOperator("LSTM", W, R, np.zeros((1, 8 * HIDDEN), dtype=np.int64)))
