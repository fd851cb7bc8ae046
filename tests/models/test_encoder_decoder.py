"""The encoder–decoder over whole targets: what its loss, its wirings and its options compute."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import cases
import translators
from recurra.errors import CellError, ConfigError
from recurra.layers.regularisation import Regularisation
from recurra.models.encoder_decoder import EncoderDecoder
from recurra.models.translation_config import EncoderDecoderConfig

NEVER = 1e-12  # a share of scheduled sampling that draws nothing, but makes the decoder go step by step

# ---------------------------------------------------------------- the loss


@pytest.mark.parametrize("wiring", translators.WIRINGS)
def test_ragged_pairs_together_cost_what_each_costs_alone(wiring):
    """So does each with another padding, and whatever the padding holds."""
    network = translators.model(encoder_layers=1, **translators.WIRINGS[wiring])
    batch = translators.ragged()
    together, tokens, _ = network(batch)
    parts = [network(translators.alone(batch, row)) for row in range(4)]
    assert tokens == sum(count for _, count, _ in parts) == 17
    assert cases.difference(together, sum(loss for loss, _, _ in parts)) < 1e-12
    translators.spoil_padding(batch)
    assert torch.equal(network(batch)[0], together)


@pytest.mark.parametrize("wiring", [name for name in translators.WIRINGS if name != "none"])
def test_attention_is_over_the_sources_own_positions(wiring):
    network = translators.model(**translators.WIRINGS[wiring])
    batch = translators.ragged()
    _, weights = network.features(batch)
    present = torch.arange(batch.inputs.shape[1]) < batch.lengths[:, None]
    assert weights.shape == (4, 7, 6)
    assert (weights.sum(-1) - 1).abs().max() < 1e-12
    assert torch.equal(weights > 0, present[:, None].expand_as(weights))


@pytest.mark.parametrize("wiring", translators.WHOLE)
def test_the_whole_target_at_once_has_the_gradients_of_the_step_loop(wiring):
    """Of every parameter, with the encoder deeper than the decoder, and of the regularised loss."""
    batch, found = translators.ragged(), []
    for share in (0.0, NEVER):
        torch.manual_seed(3)
        network = translators.model(
            **translators.WIRINGS[wiring], encoder_layers=3, dropout=0.0, scheduled_sampling=share
        )
        found.append(translators.gradients(network.train(), batch))
    for name, gradient in found[0].items():
        assert cases.difference(gradient, found[1][name]) < 1e-12, name
        assert gradient.any(), name


# ---------------------------------------------------------------- the papers' equations


class Plain(nn.Module):
    """One pair at a time: nn.LSTM reads the source both ways, nn.LSTMCells write the target.

    `feeding` is Luong's decoder with input feeding (2015, equations 5 to 8), otherwise Bahdanau's (2015, appendix
    A.1.2), with the states of both directions in the first one.
    """

    def __init__(self, feeding, size=5, half=3, hidden=6, features=6):
        super().__init__()
        self.feeding, self.hidden, self.width = feeding, hidden, features
        self.source = nn.Embedding(translators.SOURCES, size)
        self.target = nn.Embedding(translators.TARGETS, size)
        self.encoder = nn.LSTM(size, half, bidirectional=True)
        fed = features if feeding else 2 * half
        self.cells = nn.ModuleList([nn.LSTMCell(size + fed, hidden), nn.LSTMCell(hidden, hidden)])
        self.bridges = nn.ModuleList(
            nn.Linear(2 * half, hidden) for _ in range(4)
        )  # h of both layers, c of both
        self.key = nn.Linear(2 * half, hidden, bias=not feeding)
        if not feeding:
            self.query = nn.Linear(hidden, hidden, bias=False)
            self.score = nn.Linear(hidden, 1, bias=False)
        self.readout = nn.Linear(hidden + 2 * half + (0 if feeding else size), features)
        self.output = nn.Linear(features, translators.TARGETS)

    def forward(self, source, target):
        """The sum of −log P of the target `[Ty]` after the source `[Tx]`."""
        memory, (h_last, c_last) = self.encoder(self.source(source))  # [Tx, 2 * half]
        h_last, c_last = h_last.flatten(), c_last.flatten()
        h = [torch.tanh(self.bridges[layer](h_last)) for layer in (0, 1)]
        c = [torch.tanh(self.bridges[2 + layer](c_last)) for layer in (0, 1)]
        y, fed, cost = (
            torch.zeros(self.target.embedding_dim, dtype=memory.dtype),
            h[0].new_zeros(self.width),
            0.0,
        )
        for symbol in target:
            if not self.feeding:
                context = self.context(h[1], memory)  # from s_{t-1}
            x = torch.cat([y, fed if self.feeding else context])
            for layer, cell in enumerate(self.cells):
                x, c[layer] = cell(x, (h[layer], c[layer]))
                h[layer] = x
            if self.feeding:
                context = self.context(x, memory)
            parts = [x, context] if self.feeding else [x, context, y]
            fed = torch.tanh(self.readout(torch.cat(parts)))
            cost = cost - torch.log_softmax(self.output(fed), dim=0)[symbol]
            y = self.target(symbol)
        return cost

    def context(self, query, memory):
        if self.feeding:
            energies = self.key(memory) @ query
        else:
            energies = self.score(torch.tanh(self.query(query) + self.key(memory)))[:, 0]
        return torch.softmax(energies, dim=0) @ memory

    def names(self):
        """Our parameter for each of these; PyTorch's second bias has none, and stays 0."""
        cell = {"weight_ih": "input_weight", "weight_hh": "hidden_weight", "bias_ih": "bias"}
        pairs = {"source.weight": "source_embedding", "target.weight": "target_embedding"}
        for end, direction in (("_l0", 0), ("_l0_reverse", 1)):
            pairs |= {f"encoder.{k}{end}": f"encoder.cells.0.{direction}.{v}" for k, v in cell.items()}
        for layer in (0, 1):
            pairs |= {f"cells.{layer}.{k}": f"decoder.layers.0.cells.{layer}.0.{v}" for k, v in cell.items()}
            for end in ("weight", "bias"):
                pairs[f"bridges.{layer}.{end}"] = f"bridges.h.{layer}.{end}"
                pairs[f"bridges.{2 + layer}.{end}"] = f"bridges.c.{layer}.{end}"
        pairs["key.weight"] = "decoder.attention.key_weight"
        if not self.feeding:
            pairs["key.bias"] = "decoder.attention.key_bias"
            pairs["query.weight"] = "decoder.attention.query_weight"
            pairs["score.weight"] = "decoder.attention.score"
        for end in ("weight", "bias"):
            pairs |= {f"readout.{end}": f"decoder.readout.{end}", f"output.{end}": f"output_{end}"}
        return pairs


@pytest.mark.parametrize("wiring", ["bahdanau", "feeding"])
def test_step_loops_equal_the_papers_written_with_pytorchs_cells(wiring):
    """Loss and the gradient of every parameter."""
    network = translators.model(**translators.WIRINGS[wiring], encoder_layers=1)
    ours = dict(network.named_parameters())
    plain = Plain(wiring == "feeding").double()
    theirs, names = dict(plain.named_parameters()), plain.names()
    assert sorted(names.values()) == sorted(ours)
    with torch.no_grad():
        for name, parameter in theirs.items():
            parameter.copy_(
                ours[names[name]].view_as(parameter) if name in names else torch.zeros_like(parameter)
            )
    batch = translators.ragged()
    pairs = [translators.alone(batch, row) for row in range(4)]
    expected = sum(plain(pair.inputs[0], pair.targets[0]) for pair in pairs)
    assert cases.difference(network(batch)[0], expected) < 1e-12
    found = translators.gradients(network, batch)
    for name, gradient in zip(
        names, torch.autograd.grad(expected, [theirs[name] for name in names]), strict=True
    ):
        assert cases.difference(found[names[name]], gradient.view_as(found[names[name]])) < 1e-12, name


def test_gnmt_attends_with_the_bottom_layer_and_feeds_the_upper_ones():
    """Another first layer above the attention changes outputs but no weights; another bottom layer changes both."""
    network = translators.model(attention="gnmt", num_layers=3)
    batch = translators.ragged()
    features, weights = network.features(batch)
    cases.randomise(network.decoder.layers[1])
    changed, same = network.features(batch)
    assert torch.equal(same, weights)
    assert cases.difference(changed, features) > 1e-3
    cases.randomise(network.decoder.layers[0])
    assert cases.difference(network.features(batch)[1], weights) > 1e-3


# ---------------------------------------------------------------- bridges


def test_the_decoder_starts_where_its_bridge_says():
    """Directions side by side; of unequal depths the top layers correspond."""
    batch = translators.ragged()
    for encoder_layers, expected in ((3, [1, 2]), (1, [0, 0])):
        for bridge in ("zero", "last", "learned"):
            network = translators.model(bridge=bridge, encoder_layers=encoder_layers)
            _, final = network.encoder(network.embed_source(batch.inputs), lengths=batch.lengths)
            _, carried = network.encode(batch.inputs, batch.lengths)
            for layer, source in enumerate(expected):
                for name, value in carried.states[0].layers[layer][0].items():
                    last = torch.cat([direction[name] for direction in final.layers[source]], dim=1)
                    if bridge == "zero":
                        assert torch.equal(value, torch.zeros(4, 6, dtype=torch.float64))
                    elif bridge == "last":
                        assert torch.equal(value, last)
                    else:
                        layers = network.bridges[name][layer]
                        assert torch.equal(value, torch.tanh(last @ layers.weight.T + layers.bias))


# ---------------------------------------------------------------- options


@pytest.mark.parametrize("options", [{"dropout": 0.5}, {"regularisation": Regularisation(0.5, zoneout=0.5)}])
def test_dropout_is_of_training_only(options):
    network = translators.model(**({"dropout": 0.0, "label_smoothing": 0.0} | options))
    batch = translators.ragged()
    plain = translators.model(dropout=0.0)
    plain.load_state_dict(network.state_dict())
    assert torch.equal(network(batch)[0], network(batch)[0])
    if "dropout" in options:
        assert cases.difference(network(batch)[0], plain(batch)[0]) < 1e-12
    network.train()
    assert not torch.equal(network(batch)[0], network(batch)[0])


def test_dropout_is_on_embeddings_and_on_what_the_output_layer_sees():
    network = translators.model(embedding_size=40, hidden_size=40, dropout=0.5, num_layers=1).train()
    batch = translators.ragged()
    for values in (
        network.embed_source(batch.inputs),
        network.embed_target(batch.targets),
        network.features(batch)[0],
    ):
        assert 0.3 < (values == 0).double().mean() < 0.7


@pytest.mark.parametrize("wiring", translators.WIRINGS)
def test_scheduled_sampling_feeds_the_models_own_symbols(wiring):
    """With a model that is sure of itself and a share of 1, what it draws is what greedy decoding takes."""
    network = translators.model(
        **translators.WIRINGS[wiring], dropout=0.0, label_smoothing=0.0, scheduled_sampling=1.0
    )
    batch = translators.ragged()
    with torch.no_grad():
        network.output_weight *= 1e4
        mean = network.features(batch)[0].mean((0, 1))
        network.output_bias.copy_(
            -network.output_weight @ mean
        )  # no symbol is the most probable one throughout
    stepper = network.stepper(batch)
    step, drawn = stepper.start(), []
    for _ in range(batch.targets.shape[1]):
        drawn.append(step.log_probs)
        step = stepper.step(step.log_probs.argmax(1), step.state)
    features, _ = network.train().features(batch)
    assert cases.difference(network.log_probs(features), torch.stack(drawn, dim=1)) < 1e-9
    assert len(torch.stack(drawn).argmax(2).unique()) > 1
    network.eval()
    truth = network.log_probs(network.features(batch)[0])
    assert cases.difference(truth, torch.stack(drawn, dim=1)) > 1e-3, "evaluation reads the target"


def test_scheduled_sampling_draws_the_share_it_is_told():
    network = translators.model()
    features = [torch.zeros(4000, 6, dtype=torch.float64)]
    with torch.no_grad():
        network.output_bias.copy_(torch.tensor([0.0, -torch.inf, 1.0, 0.0, 0.0, 0.0, 0.0]))
    symbols = torch.ones(4000, dtype=torch.int64)  # which the model itself never draws
    drawn = network._scheduled(symbols, features, 0.3)
    assert 0.27 < (drawn != 1).double().mean() < 0.33
    expected = torch.softmax(network.output_bias, 0)
    counts = functional.one_hot(drawn[drawn != 1], 7).double().mean(0)
    assert (counts - expected).abs().max() < 0.05
    assert torch.equal(network._scheduled(symbols, [], 1.0), symbols), "nothing was said yet"


# ---------------------------------------------------------------- what cannot be built


@pytest.mark.parametrize(
    ("options", "error", "says"),
    [
        ({"energy": "dot", "encoder_hidden_size": 5}, ConfigError, r"energy: 'dot' .* are 6 and 10 wide"),
        ({"attention_size": 3}, ConfigError, r"attention_size: energy 'dot' has no hidden layer"),
        ({"cell": "lstn"}, ConfigError, r"lstn"),
        ({"initial_bias": {"forgot": 1.0}}, CellError, r"forgot"),
    ],
)
def test_what_cannot_be_built(options, error, says):
    config = EncoderDecoderConfig(**({"hidden_size": 6, "embedding_size": 5} | options))
    with pytest.raises(error, match=says):
        EncoderDecoder(config, translators.SOURCES, translators.TARGETS)
