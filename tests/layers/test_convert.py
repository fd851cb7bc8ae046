"""What all converters share: their public names, and stacks and options that no other system has."""

from __future__ import annotations

import pytest
import torch

import cases
from recurra import CellError, Recurrent, Regularisation, ShapeError, convert
from recurra.cells import LSTM, CoupledLSTM, with_initial_bias
from recurra.layers.variants import LSTMWithoutBias

INPUT, HIDDEN = 3, 5
TO = [convert.to_torch, convert.to_keras, convert.keras_arguments, convert.to_onnx]


def test_public_names():
    assert sorted(convert.__all__) == convert.__all__
    assert all(callable(getattr(convert, name)) for name in convert.__all__)


@pytest.mark.parametrize("to", TO)
def test_a_stack_of_different_cells_is_refused(to):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2, bidirectional=True)
    rnn.cells[1][1] = CoupledLSTM(2 * HIDDEN, HIDDEN).double()
    with pytest.raises(CellError, match=rf"{to.__name__}: layer 1 \(backward\) has the cell CoupledLSTM"):
        to(rnn)
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2)
    rnn.cells[1][0] = LSTMWithoutBias(HIDDEN, HIDDEN).double()
    with pytest.raises(CellError, match=r"layer 1 \(forward\) has the cell LSTMWithoutBias"):
        to(rnn)


@pytest.mark.parametrize("to", TO)
def test_cells_that_say_more_than_their_weights_are_refused(to):
    class Noisy(LSTM):
        def step(self, affine, h, c):
            h, c = super().step(affine, h, c)
            return (h, c) if self.training else (0.9 * h, c)

    for rnn in (Recurrent(Noisy, INPUT, HIDDEN), Recurrent(Noisy, INPUT, HIDDEN).eval()):
        with pytest.raises(CellError, match="Noisy computes something else in training than in evaluation"):
            to(rnn)
    rnn = Recurrent(LSTM, INPUT, HIDDEN, bidirectional=True)
    rnn.cells[0][1].register_forward_hook(lambda *_: None)
    with pytest.raises(CellError, match=rf"{to.__name__}: cells\[0\]\[1\]: has a forward hook"):
        to(rnn)


@pytest.mark.parametrize("to", TO)
def test_a_cells_present_attributes_count(to):
    """As they count where it runs."""
    rnn = cases.recurrent("elman", INPUT, HIDDEN)
    rnn.cells[0][0].activation = "relu"
    result = to(rnn)
    if to is convert.to_torch:
        assert result.nonlinearity == "relu"
    elif to is convert.keras_arguments:
        assert result["activation"] == "relu"
    elif to is convert.to_onnx:
        assert result[0].activations == ("Relu",)


def numbers(converted):
    """What a conversion gives, its weights as lists."""
    if isinstance(converted, dict):
        return converted
    if isinstance(converted, torch.nn.Module):
        return [parameter.tolist() for parameter in converted.parameters()]
    if isinstance(converted[0], convert.OnnxOperator):
        return [array.tolist() for one in converted for array in (one.W, one.R, one.B)]
    return [array.tolist() for array in converted]


@pytest.mark.parametrize("to", TO)
def test_cells_that_differ_only_in_their_class_are_one(to):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2)
    expected = numbers(to(rnn))
    other = with_initial_bias(LSTM, {"forget": 2.0})(HIDDEN, HIDDEN).double()
    other.load_state_dict(rnn.cells[1][0].state_dict())
    rnn.cells[1][0] = other
    assert numbers(to(rnn)) == expected


@pytest.mark.parametrize("to", TO)
def test_a_cell_of_another_width_or_dtype_is_refused(to):
    rnn = cases.recurrent("lstm", INPUT, HIDDEN, num_layers=2)
    rnn.cells[1][0] = LSTM(HIDDEN + 1, HIDDEN).double()
    with pytest.raises(ShapeError, match=r"layer 1: expected input weights of shape \[20, 5\]"):
        to(rnn)
    rnn.cells[1][0] = LSTM(HIDDEN, HIDDEN)
    with pytest.raises(ShapeError, match=r"layer 1: expected all weights and biases in torch\.float64"):
        to(rnn)


@pytest.mark.parametrize("to", TO)
@pytest.mark.parametrize(
    ("options", "name"),
    [
        ({"initial_state": "learned"}, "initial_state='learned'"),
        ({"initial_state": "random"}, "initial_state='random'"),
        ({"stateful": True}, "stateful=True; set rnn.stateful = False"),
        ({"residual": True}, "residual=True"),
        ({"dropout": 0.3}, "dropout=0.3; set rnn.dropout = 0"),
        ({"regularisation": Regularisation(zoneout={"c": 0.1})}, "regularisation.zoneout={'c': 0.1}"),
        ({"regularisation": Regularisation(output_dropout=0.1)}, "regularisation.output_dropout=0.1"),
        ({"regularisation": Regularisation(weight_drop=0.1)}, "regularisation.weight_drop=0.1"),
        ({"regularisation": Regularisation(input_dropout=0.1)}, "regularisation.input_dropout=0.1"),
        ({"regularisation": Regularisation(recurrent_dropout=0.1)}, "regularisation.recurrent_dropout"),
    ],
)
def test_options_that_the_weights_do_not_say_are_refused(to, options, name):
    rnn = Recurrent(LSTM, HIDDEN, HIDDEN, num_layers=2, **options)
    if (to is convert.to_torch and "dropout" in options) or (
        to in (convert.to_keras, convert.keras_arguments) and "input_dropout" in name
    ):
        to(rnn)  # which these have
        return
    with pytest.raises(CellError) as caught:
        to(rnn)
    assert to.__name__ in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("to", TO)
def test_how_a_layer_runs_is_no_part_of_what_it_computes(to):
    plain, chunked = (
        Recurrent(LSTM, INPUT, HIDDEN),
        Recurrent(LSTM, INPUT, HIDDEN, chunk=2, backend="reference"),
    )
    chunked.load_state_dict(plain.state_dict())
    assert numbers(to(chunked)) == numbers(to(plain))


@pytest.mark.parametrize("to", [convert.to_keras, convert.to_onnx])
def test_conversion_leaves_the_generator_alone(to):
    rnn = cases.recurrent("gru", INPUT, HIDDEN)
    before = torch.get_rng_state()
    to(rnn)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("to", [convert.to_keras, convert.to_onnx])
def test_what_numpy_has_no_type_for_is_refused(to):
    with pytest.raises(ShapeError, match=f"{to.__name__}: numpy has no bfloat16"):
        to(Recurrent(LSTM, INPUT, HIDDEN).bfloat16())
