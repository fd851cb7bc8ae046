"""The language model: what its inputs, loss and stepper compute."""

import pytest
import torch

from recurra.contracts import Batch
from recurra.errors import CellError, ConfigError
from recurra.layers.regularisation import Regularisation
from recurra.models.language_model import LanguageModel
from recurra.models.language_model_config import LanguageModelConfig

SIZE = 11


def model(seed=0, distribution="categorical", **options):
    torch.manual_seed(seed)
    settings = {"hidden_size": 9, "embedding_size": 5} | options
    built = LanguageModel(LanguageModelConfig(**settings), SIZE, distribution=distribution).double()
    with torch.no_grad():
        for parameter in built.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return built.eval()


def shifted(targets):
    return torch.cat([torch.full((len(targets), 1), -1), targets[:, :-1]], dim=1)


def test_one_hot_input_is_an_embedding_whose_rows_are_the_identity():
    """Distinct symbols are orthogonal, and one-hot · E is the look-up, exactly."""
    ids = torch.tensor([[3, -1, 0, 10]])
    one_hot = model(input="one_hot").embed(ids)
    assert torch.equal(one_hot[0, [0, 2, 3]], torch.eye(SIZE, dtype=torch.float64)[[3, 0, 10]])
    embedded = model()
    assert torch.equal(one_hot @ embedded.embedding, embedded.embed(ids))
    assert not embedded.embed(ids)[0, 1].any()


def test_loss_is_the_sum_of_the_log_probabilities_row_by_row():
    """Ragged rows together cost what each costs alone, step by step through the stepper."""
    network = model(cell="peephole_lstm", num_layers=2)
    targets, lengths = torch.randint(0, SIZE, (4, 6)), torch.tensor([6, 2, 0, 3])
    batch = Batch(shifted(targets), targets, int(lengths.sum()), lengths)
    total, tokens, _ = network(batch)
    expected = 0.0
    for row, length in zip(targets, lengths.tolist(), strict=True):
        stepper = network.stepper(Batch.of_rows(1))
        step = stepper.start()
        for symbol in row[:length]:
            expected -= step.log_probs[0, symbol].item()
            step = stepper.step(symbol[None], step.state)
    assert tokens == 11
    assert total.item() == pytest.approx(expected, rel=1e-6)


def test_state_carried_over_windows_equals_the_whole():
    network = model(cell="gru")
    targets = torch.randint(0, SIZE, (3, 10))
    inputs = shifted(targets)
    whole, _, _ = network(Batch(inputs, targets, 30))
    first, _, state = network(Batch(inputs[:, :4], targets[:, :4], 12))
    second, _, _ = network(Batch(inputs[:, 4:], targets[:, 4:], 18, continues=True), state.detach())
    torch.testing.assert_close(whole, first + second)


def test_stepper_selects_rows_that_repeat_and_shrink():
    network = model()
    stepper = network.stepper(Batch.of_rows(3))
    state = stepper.step(torch.tensor([1, 2, 3]), stepper.start().state).state
    step = stepper.step(torch.tensor([4, 4]), stepper.select(state, torch.tensor([2, 2])))
    alone = network.stepper(Batch.of_rows(1))
    expected = alone.step(torch.tensor([4]), alone.step(torch.tensor([3]), alone.start().state).state)
    torch.testing.assert_close(step.log_probs, expected.log_probs.expand(2, -1))


def test_tied_output_layer_is_the_embedding():
    network = model(tied=True, embedding_size=9)
    assert network.output_weight is None
    assert network.output_layer[0] is network.embedding
    assert sum(p.numel() for p in network.parameters()) < sum(
        p.numel() for p in model(embedding_size=9).parameters()
    )


def test_note_sets_cost_binary_cross_entropy_summed_over_the_keys():
    network = model(distribution="bernoulli")
    notes = (torch.rand(2, 5, SIZE) < 0.3).double()
    inputs = torch.cat([torch.zeros(2, 1, SIZE), notes[:, :-1]], dim=1)
    total, steps, _ = network(Batch(inputs, notes, 10))
    log_on = network.log_probs(network.features(inputs)[0])
    log_off = torch.log1p(-log_on.exp())
    assert steps == 10
    assert total.item() == pytest.approx(-(notes * log_on + (1 - notes) * log_off).sum().item(), rel=1e-5)


def test_sampled_softmax_is_for_training_only():
    network = model(sampled_softmax=4).float()
    targets = torch.randint(0, SIZE, (2, 5))
    batch = Batch(shifted(targets), targets, 10)
    exact = network(batch)[0]
    assert network(batch)[0] == exact
    assert network.train()(batch)[0] != exact


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"hidden_size": 0}, "model.hidden_size"),
        ({"hidden_size": []}, "model.hidden_size"),
        ({"dropout": -0.1}, "model.dropout"),
        ({"tied": True, "embedding_size": 4, "hidden_size": 5}, "--model.embedding_size 5"),
        ({"tied": True, "input": "one_hot"}, "model.tied"),
        ({"input": "one-hot"}, "Did you mean 'one_hot'"),
        ({"backend": "vendr"}, "Did you mean 'vendor'"),
        ({"sampled_softmax": SIZE}, "model.sampled_softmax"),
        ({"cell": "gruu"}, "Did you mean 'gru'"),
        ({"regularisation": Regularisation(zoneout={"m": 0.1})}, "no state 'm'"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(options, message):
    with pytest.raises(ConfigError) as error:
        model(**options)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_a_probability_out_of_range_is_refused():
    with pytest.raises(ConfigError, match=r"zoneout: expected a probability .* for 'c'"):
        Regularisation(zoneout={"h": 0.1, "c": 1.0})


def test_initial_bias_is_by_gate_and_changes_nothing_else():
    """A gate named gets its value, the others the cell's; under a norm's name it is the norm's shift."""

    def cells(cell, values):
        torch.manual_seed(0)
        config = LanguageModelConfig(cell=cell, hidden_size=4, num_layers=2, initial_bias=values)
        return [layer[0] for layer in LanguageModel(config, SIZE).rnn.cells]

    for own, plain in zip(cells("lstm", {"forget": 0, "output": -2.0}), cells("lstm", None), strict=True):
        assert own.bias.tolist() == [0.0] * 12 + [-2.0] * 4
        assert plain.bias.tolist() == [0.0] * 4 + [1.0] * 4 + [0.0] * 8
        assert torch.equal(own.hidden_weight, plain.hidden_weight)
        assert own.program.canonical == plain.program.canonical
    assert cells("layer_norm_lstm", {"forget": 3})[0].norm_forget_shift.tolist() == [3.0] * 4
    with pytest.raises(CellError, match=r"'forgett'.*Did you mean 'forget'"):
        cells("lstm", {"forgett": 0})
    with pytest.raises(ConfigError, match=r"model.initial_bias: expected a number for 'forget', got '0'"):
        cells("lstm", {"forget": "0"})


@pytest.mark.parametrize(
    ("options", "read", "written"),
    [
        ({}, "input: embedding [11, 5]", "output layer: 9 -> 11"),
        ({"input": "one_hot", "dropout": 0.5}, "input: one-hot, 11", "output layer: 9 -> 11, dropout=0.5"),
        (
            {"tied": True, "embedding_size": 9},
            "input: embedding [11, 9]",
            "output layer: 9 -> 11, tied to the embedding",
        ),
    ],
)
def test_it_shows_every_layer(options, read, written):
    lines = [line.strip() for line in repr(model(**options)).splitlines()]
    assert lines[1:4] == [read, written, "(rnn): Recurrent("]
    assert any(line.endswith(f"LSTM({model(**options).rnn.input_size}, 9)") for line in lines)
