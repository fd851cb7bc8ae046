"""Decoding step by step against the loss over whole targets, and rows that come and go."""

from __future__ import annotations

import pytest
import torch

import cases
import translators
from recurra.decode.target_scores import score_targets
from recurra.errors import StateError

DEPTHS = ((2, 2), (1, 3), (3, 2))  # of encoder and decoder
BRIDGES = {
    "zero": {"bidirectional": False, "encoder_hidden_size": 4},
    "last": {},
    "learned": {"encoder_hidden_size": 5, "tied": "output"},
}


def bound(network, batch):
    return network.stepper(batch)


@pytest.mark.parametrize("depths", DEPTHS)
@pytest.mark.parametrize("bridge", BRIDGES)
@pytest.mark.parametrize("wiring", translators.WIRINGS)
def test_step_by_step_costs_what_the_whole_costs(wiring, bridge, depths):
    network = translators.model(
        **translators.WIRINGS[wiring],
        **BRIDGES[bridge],
        bridge=bridge,
        encoder_layers=depths[0],
        num_layers=depths[1],
    )
    batch = translators.ragged()
    assert cases.difference(translators.cost(bound(network, batch), batch), network(batch)[0]) < 1e-12


@pytest.mark.parametrize(
    "options",
    [
        {"cell": "gru", "attention": "bahdanau", "energy": "normed_additive", "attention_size": 3},
        {"cell": "peephole_lstm", "input_feeding": True, "energy": "dot"},
        {"cell": "lstm", "attention": "gnmt", "energy": "scaled", "backend": "auto"},
    ],
)
def test_other_cells_and_energies(options):
    """Once on the backend that `auto` chooses, whose kernels are not the reference's."""
    network = translators.model(**options)
    batch = translators.ragged()
    assert cases.difference(translators.cost(bound(network, batch), batch), network(batch)[0]) < 1e-12
    targets = [row[:length] for row, length in zip(batch.targets, batch.target_lengths, strict=True)]
    assert -sum(score_targets(bound(network, batch), targets)) == pytest.approx(
        network(batch)[0].item(), rel=1e-12
    )


@pytest.mark.parametrize("wiring", [name for name in translators.WIRINGS if name != "none"])
def test_attention_is_that_of_the_symbol_that_follows(wiring):
    network = translators.model(**translators.WIRINGS[wiring])
    batch = translators.ragged()
    steps = translators.follow(bound(network, batch), batch.targets[:, :-1])
    _, weights = network.features(batch)
    present = torch.arange(batch.targets.shape[1]) < batch.target_lengths[:, None]
    found = torch.stack([step.attention for step in steps], dim=1)
    assert cases.difference(found[present], weights[present]) < 1e-12


def test_without_attention_there_is_none_to_show():
    network = translators.model(attention="none")
    assert bound(network, translators.ragged()).start().attention is None


@pytest.mark.parametrize("wiring", translators.WIRINGS)
def test_selected_rows_go_on_as_if_alone(wiring):
    """Rows repeat, grow, shrink, change places, and lose their sources, until one is left, and then grow again."""
    network = translators.model(**translators.WIRINGS[wiring])
    batch = translators.ragged()
    stepper = bound(network, batch)
    step, histories = stepper.start(), [(source, []) for source in range(4)]
    plans = [
        [0, 1, 2, 3],
        [3, 3, 0, 2, 2, 2, 1],
        [6, 0, 5, 1, 4],
        [4, 1, 3, 1],
        [1, 1, 3],
        [2],
        [0, 0, 0],
        [1],
    ]
    for plan in plans:
        state = stepper.select(step.state, torch.tensor(plan))
        symbols = torch.randint(translators.TARGETS, (len(plan),))
        histories = [histories[row] for row in plan]
        histories = [
            (source, [*said, one]) for (source, said), one in zip(histories, symbols.tolist(), strict=True)
        ]
        step = stepper.step(symbols, state)
        for row, (source, said) in enumerate(histories):
            pair = translators.alone(batch, source)
            expected = translators.follow(bound(network, pair), torch.tensor([said]))[-1]
            assert cases.difference(step.log_probs[row], expected.log_probs[0]) < 1e-12
            assert (step.attention is None) == (wiring == "none")
            if step.attention is not None:
                length = batch.lengths[source]
                assert step.attention.shape == (len(plan), 6)
                assert cases.difference(step.attention[row, :length], expected.attention[0]) < 1e-12
                assert not step.attention[row, length:].any()


def test_memory_is_held_once_per_source_and_given_up_with_it():
    network = translators.model()
    stepper = bound(network, translators.ragged())
    state = stepper.start().state
    grown = stepper.select(state, torch.tensor([2, 2, 2, 0, 1, 1, 3]))
    assert grown.memory is state.memory
    assert stepper.select(grown, torch.tensor([1, 5, 0, 2])).memory.values.shape[0] == 2


def test_states_are_values():
    """A step from a state does not spoil it for another."""
    network = translators.model(input_feeding=True)
    stepper = bound(network, translators.ragged())
    state = stepper.start().state
    first = stepper.step(torch.tensor([1, 2, 3, 4]), state).log_probs
    assert not torch.equal(stepper.step(torch.tensor([4, 3, 2, 1]), state).log_probs, first)
    assert torch.equal(stepper.step(torch.tensor([1, 2, 3, 4]), state).log_probs, first)


def test_decoding_is_in_evaluation_mode_and_leaves_the_models_own():
    network = translators.model(dropout=0.5)
    batch = translators.ragged()
    expected = network(batch)[0]
    stepper = bound(network.train(), batch)
    assert cases.difference(translators.cost(stepper, batch), expected) < 1e-12
    assert all(module.training for module in network.modules())
    assert not stepper.start().log_probs.requires_grad


def test_weights_that_have_changed_are_noticed():
    network = translators.model()
    stepper = bound(network, translators.ragged())
    state = stepper.start().state
    cases.randomise(network)
    with pytest.raises(StateError, match="parameters have changed"):
        stepper.step(torch.tensor([1, 2, 3, 4]), state)
