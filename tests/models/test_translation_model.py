"""Both ends of an encoder–decoder, recurrent or not: embeddings, output layer, loss."""

from __future__ import annotations

import math

import pytest
import torch

import cases
import translators
from recurra.errors import ConfigError

both = pytest.mark.parametrize("build", translators.BOTH, ids=["recurrent", "transformer"])


@both
def test_label_smoothing_is_of_training_only(build):
    network = build(dropout=0.0, label_smoothing=0.3)
    batch = translators.ragged()
    features, _ = network.features(batch)
    present = torch.arange(7) < batch.target_lengths[:, None]
    costs = -network.log_probs(features)[present]
    plain = costs.gather(1, batch.targets[present][:, None]).sum()
    assert cases.difference(network(batch)[0], plain) < 1e-12
    smoothed = 0.7 * plain + 0.3 * costs.mean(1).sum()
    assert cases.difference(network.train()(batch)[0], smoothed) < 1e-12


@both
def test_tied_embeddings_are_one_matrix(build):
    """Which, as an input, is scaled by √E."""
    ids = torch.tensor([[3, 1, 0]])
    none, output, every = build(), build(tied="output"), build(joint=True, tied="all")
    assert len({id(none.source_embedding), id(none.target_embedding), id(none.output_layer[0])}) == 3
    assert torch.equal(none.target_vectors(ids), none.target_embedding[ids])
    size = output.target_embedding.shape[1]
    assert output.output_layer[0] is output.target_embedding
    assert output.source_embedding.shape == (translators.SOURCES, size)
    assert torch.equal(output.source_vectors(ids), output.source_embedding[ids])
    scaled = output.target_embedding[ids] * math.sqrt(size)
    assert cases.difference(output.target_vectors(ids), scaled) < 1e-12
    assert every.source_embedding is None
    assert every.output_layer[0] is every.target_embedding
    assert torch.equal(every.source_vectors(ids), every.target_vectors(ids))
    counts = [len(list(network.parameters())) for network in (none, output, every)]
    assert counts == [counts[2] + 2, counts[2] + 1, counts[2]]
    batch = translators.ragged(sources=translators.TARGETS)
    assert translators.gradients(every, batch)["target_embedding"].any(dim=1).all()


@both
def test_a_joint_matrix_takes_a_joint_vocabulary(build):
    with pytest.raises(ConfigError, match=r"model\.tied: all takes one vocabulary .* --data\.joint true"):
        build(tied="all")


@both
def test_a_target_starts_with_the_zero_vector(build):
    network = build()
    assert not network.target_vectors(torch.tensor([-1, -1])).any()
    assert network.target_vectors(torch.tensor([0])).any(), "EOS is a symbol like any other"


@both
def test_parameters_start_as_they_are_said_to(build):
    """Inputs of deviation 1, and no bias but the forget gate's."""
    for tied in ("none", "output"):
        network = build(
            hidden_size=128, tied=tied, **({"embedding_size": 96} if build is translators.model else {})
        )
        network.output_bias.data.fill_(3.0)
        network.reset_parameters()
        vectors = network.target_vectors(torch.arange(translators.TARGETS))
        assert 0.9 < vectors.std() < 1.1
        assert 0.9 < network.source_vectors(torch.arange(translators.SOURCES)).std() < 1.1
        assert not network.output_bias.any()


@both
def test_it_shows_both_ends(build):
    lines = [line.strip() for line in repr(build()).splitlines()]
    none = build()
    width, features = none.target_embedding.shape[1], none.output_layer[0].shape[1]
    assert lines[1:4] == [
        f"source embedding: [{translators.SOURCES}, {width}]",
        f"target embedding: [{translators.TARGETS}, {width}]",
        f"output layer: {features} -> {translators.TARGETS}",
    ]
    tied = [line.strip() for line in repr(build(joint=True, tied="all")).splitlines()]
    assert tied[1] == "source embedding: the target's"
    assert tied[3].endswith("tied to the target's embedding")


def test_attention_is_shown_with_its_widths():
    shown = repr(translators.model(attention="bahdanau", energy="additive", attention_size=6))
    assert "(attention): Attention(additive, keys " in shown
    assert "attention: bahdanau, dropout=" in shown
