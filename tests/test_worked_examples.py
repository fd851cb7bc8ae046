"""The course's worked examples, each with its numbers.

B batch, T time, I input, H hidden, V vocabulary.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

import cases
import grid
import recurra
from recurra import Batch, LanguageModel, LanguageModelConfig, LMConfig, Recurrent, TextConfig, TrainingConfig
from recurra.cells import CELLS, LSTM, CoursePeepholeLSTM, Elman, PeepholeLSTM
from recurra.contracts import Step
from recurra.decode import BeamConfig, beam_search, greedy, score_targets
from recurra.decode.config import SamplingConfig
from recurra.decode.sampling import sample
from recurra.engine import BACKENDS
from recurra.inspection.gradient_flow import verdict
from recurra.inspection.gradient_pictures import show_curves, show_map
from recurra.inspection.gradients import measure
from recurra.layers.output import binary_cross_entropy
from recurra.metrics.bleu import corpus_bleu
from recurra.training.optimiser import clip_by_norm_, gradient_norm


def randn(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64)


def test_shapes_and_the_stacked_matrix():
    """a is 100 wide and x 1,000: W_a = [W_aa | W_ax] is (100, 1100), and equals the two halves."""
    cell = Elman(1000, 100).double()
    cases.randomise(cell, 0.05)
    W_aa, W_ax = cell.hidden_weight, cell.input_weight
    assert W_aa.shape == (100, 100)
    assert W_ax.shape == (100, 1000)
    W_a = torch.cat([W_aa, W_ax], dim=1)
    assert W_a.shape == (100, 1100)
    a, x = randn(1, 100), randn(1, 1000)
    stacked = W_a @ torch.cat([a, x], dim=1).T
    assert cases.difference(stacked, W_aa @ a.T + W_ax @ x.T) < 1e-12
    assert cases.difference(cell(x, a), torch.tanh(stacked.T + cell.bias)) < 1e-12


def test_one_step_in_the_other_notation():
    """a = b + W h + U x, h = tanh a, o = c + V h, ŷ = softmax o; there a is the pre-activation."""
    model = LanguageModel(LanguageModelConfig(cell="elman", hidden_size=5, input="one_hot"), 7).double()
    cases.randomise(model)
    cell = model.rnn.cells[0][0]
    W, U, b = cell.hidden_weight, cell.input_weight, cell.bias
    V, c = model.output_layer
    h, x = randn(5), functional.one_hot(torch.tensor(3), 7).double()
    a = b + W @ h + U @ x
    o = c + V @ torch.tanh(a)
    predicted = torch.exp(o) / torch.exp(o).sum()
    state = model.rnn.zero_state(1).map(lambda _: h[None])
    hidden, _ = model.eval().features(torch.tensor([[3]]), state)
    assert cases.difference(hidden[0, 0], torch.tanh(a)) < 1e-12
    assert cases.difference(model.log_probs(hidden).exp()[0, 0], predicted) < 1e-12


def test_loss_summed_over_the_steps():
    """L_t = −y log ŷ − (1 − y) log(1 − ŷ), summed over T_y, equals torch's sum and ours."""
    steps, weight, bias, hidden = 6, randn(1, 3), randn(1), randn(6, 3)
    y = torch.tensor([[1.0], [0.0], [1.0], [1.0], [0.0], [0.0]], dtype=torch.float64)
    predicted = torch.sigmoid(hidden @ weight.T + bias)
    loss = sum(
        -y[t] * torch.log(predicted[t]) - (1 - y[t]) * torch.log(1 - predicted[t]) for t in range(steps)
    )
    assert cases.difference(loss[0], functional.binary_cross_entropy(predicted, y, reduction="sum")) < 1e-12
    assert cases.difference(binary_cross_entropy(hidden, weight, bias, y).double(), loss[0]) < 1e-6


def test_one_hot_vectors_are_rows_of_the_identity_and_pick_the_embedding():
    one_hot = LanguageModel(LanguageModelConfig(hidden_size=4, input="one_hot"), 9)
    embedded = LanguageModel(LanguageModelConfig(hidden_size=4, embedding_size=5), 9)
    ids = torch.arange(9)
    rows = one_hot.embed(ids)
    assert torch.equal(rows, torch.eye(9))
    assert torch.equal(rows @ rows.T, torch.eye(9))  # distinct words are orthogonal
    assert torch.equal(rows @ embedded.embedding, embedded.embed(ids))
    assert not one_hot.embed(torch.tensor([-1])).any()  # x⟨1⟩ = 0
    assert not embedded.embed(torch.tensor([-1])).any()


def test_gate():
    """[1, 2, 3] ∗ [0.1, 0.5, 0.3] = [0.1, 1, 0.9], and so an LSTM's forget gate treats its memory."""
    memory, gate = torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([0.1, 0.5, 0.3])
    expected = torch.tensor([[0.1, 1.0, 0.9]])
    torch.testing.assert_close(memory * gate, expected)
    cell = LSTM(2, 3)
    with torch.no_grad():
        for parameter in cell.parameters():
            parameter.zero_()
        cell.rows("bias", "forget").copy_(torch.logit(gate))
    _, c = cell(torch.zeros(1, 2), (torch.zeros(1, 3), memory))
    torch.testing.assert_close(c, expected)


def test_memory_held(tmp_path):
    """Γ_u ≈ 0 keeps c for a thousand steps, and ∂c_t/∂c_k ≈ 1, in numbers and in a picture."""
    steps = 1000
    rnn = cases.recurrent("gru", 3, 5)
    with torch.no_grad():
        rnn.cells[0][0].rows("bias", "update").fill_(-30.0)
    start = cases.random_state(rnn, 1).map(cases.leaf)
    outputs, final = rnn(randn(1, steps, 3), start)
    held, kept = start.layers[0][0]["h"], final.layers[0][0]["h"]
    assert (outputs - held).abs().max() < 1e-6
    jacobian = torch.stack([torch.autograd.grad(kept[0, i], held, retain_graph=True)[0][0] for i in range(5)])
    torch.testing.assert_close(jacobian, torch.eye(5, dtype=torch.float64), rtol=0, atol=1e-6)
    (flow,) = measure(rnn, randn(1, steps, 3))
    assert flow.log10_norms.shape[1] == steps
    assert np.nanmax(np.abs(flow.log10_norms)) < 1e-6
    assert verdict(flow).kind == "holding"
    for name, show in (("curves", show_curves), ("map", show_map)):
        show([flow]).save(tmp_path / f"gradient_{name}.png")
    assert [path for path in tmp_path.iterdir() if path.suffix == ".png"]
    with torch.no_grad():
        rnn.cells[0][0].rows("bias", "update").fill_(0.0)
    (flow,) = measure(rnn, randn(1, steps, 3))
    assert verdict(flow).kind == "vanishing"


@pytest.mark.parametrize("backend", [name for name in BACKENDS if name in grid.BACKENDS])
def test_lstm_backwards_by_hand(backend):
    """Gate, parameter, hidden, memory and input gradients written out, against what the engine returns.

    Written for gates in the order update, forget, candidate, output; d stands for the derivative of the loss.
    """
    batch, steps, inputs, hidden = 4, 3, 3, 5
    rnn = cases.recurrent("lstm", inputs, hidden, backend=backend)
    cell = rnn.cells[0][0]
    W_x, W_h, b = (p.detach() for p in (cell.input_weight, cell.hidden_weight, cell.bias))
    x, start = cases.leaf(randn(batch, steps, inputs)), cases.random_state(rnn, batch).map(cases.leaf)
    h, c = (start.layers[0][0][name].detach() for name in ("h", "c"))
    d_outputs, d_last_h, d_last_c = randn(batch, steps, hidden), randn(batch, hidden), randn(batch, hidden)

    tape = []
    for t in range(steps):
        before = (h, c)
        update, forget, candidate, output = (x[:, t].detach() @ W_x.T + h @ W_h.T + b).chunk(4, dim=1)
        update, forget, output = update.sigmoid(), forget.sigmoid(), output.sigmoid()
        candidate = candidate.tanh()
        c = update * candidate + forget * c
        h = output * c.tanh()
        tape.append((before, update, forget, candidate, output, c))

    d_h, d_c = d_last_h, d_last_c
    d_W_x, d_W_h, d_b, d_x = torch.zeros_like(W_x), torch.zeros_like(W_h), torch.zeros_like(b), []
    for t in reversed(range(steps)):
        (old_h, old_c), update, forget, candidate, output, memory = tape[t]
        d_h = d_h + d_outputs[:, t]
        d_output = d_h * memory.tanh() * output * (1 - output)
        d_c = d_c + d_h * output * (1 - memory.tanh() ** 2)
        d_update = d_c * candidate * update * (1 - update)
        d_forget = d_c * old_c * forget * (1 - forget)
        d_candidate = d_c * update * (1 - candidate**2)
        d_gates = torch.cat([d_update, d_forget, d_candidate, d_output], dim=1)
        d_W_x += d_gates.T @ x[:, t].detach()
        d_W_h += d_gates.T @ old_h
        d_b += d_gates.sum(0)
        d_x.insert(0, d_gates @ W_x)
        d_h, d_c = d_gates @ W_h, d_c * forget

    outputs, final = rnn(x, start)
    last = final.layers[0][0]
    loss = (outputs * d_outputs).sum() + (last["h"] * d_last_h).sum() + (last["c"] * d_last_c).sum()
    first = start.layers[0][0]
    leaves = [cell.input_weight, cell.hidden_weight, cell.bias, x, first["h"], first["c"]]
    by_hand = [d_W_x, d_W_h, d_b, torch.stack(d_x, 1), d_h, d_c]
    for ours, theirs in zip(torch.autograd.grad(loss, leaves), by_hand, strict=True):
        assert cases.difference(ours, theirs) < 1e-12


def test_peepholes_of_both_forms_by_hand():
    """One unit, every weight 0 but the peepholes: c = 1 before, the candidate 0.5 by its bias.

    The memory becomes 0.5 σ(1) + σ(2) = 1.246326; Gers's output gate sees it, the course's still sees 1.
    """
    sigmoid = lambda a: 1 / (1 + math.exp(-a))  # noqa: E731
    new = {}
    for form in (PeepholeLSTM, CoursePeepholeLSTM):
        cell = form(1, 1).double()
        with torch.no_grad():
            for parameter in cell.parameters():
                parameter.zero_()
            cell.vector_update.fill_(1.0)
            cell.vector_forget.fill_(2.0)
            cell.vector_output.fill_(3.0)
            cell.rows("bias", "candidate").fill_(math.atanh(0.5))
        h, c = cell(torch.zeros(1, 1).double(), (torch.zeros(1, 1).double(), torch.ones(1, 1).double()))
        new[form] = (h.item(), c.item())
    memory = sigmoid(1) * 0.5 + sigmoid(2) * 1.0
    assert memory == pytest.approx(1.246326, abs=1e-6)
    assert new[PeepholeLSTM] == pytest.approx((sigmoid(3 * memory) * math.tanh(memory), memory), abs=1e-12)
    assert new[CoursePeepholeLSTM] == pytest.approx((sigmoid(3.0) * math.tanh(memory), memory), abs=1e-12)
    assert new[PeepholeLSTM][0] == pytest.approx(0.827572, abs=1e-6)
    assert new[CoursePeepholeLSTM][0] == pytest.approx(0.807069, abs=1e-6)


@pytest.mark.parametrize(("threshold", "clipped"), [(5.0, True), (1000.0, False)])
def test_clipping_keeps_the_direction(threshold, clipped):
    """‖g‖ above the threshold is rescaled to it; below, g stays as it is."""
    parameters = [torch.nn.Parameter(randn(3, 4)), torch.nn.Parameter(randn(7))]
    for parameter in parameters:
        parameter.grad = 10 * randn(*parameter.shape)
    before = torch.cat([parameter.grad.flatten() for parameter in parameters])
    norm = float(gradient_norm(parameters))
    assert norm == pytest.approx(before.norm().item())
    assert clip_by_norm_(parameters, norm, threshold) == clipped
    after = torch.cat([parameter.grad.flatten() for parameter in parameters])
    assert after.norm().item() == pytest.approx(threshold if clipped else norm)
    torch.testing.assert_close(after / after.norm(), before / before.norm())


@pytest.mark.parametrize("cell", cases.ALL_CELLS)
def test_stateful_halves_and_a_cell_looped_by_hand(cell):
    """Two halves with the state carried, and the cell stepped by hand, equal the layer over the whole."""
    rnn = cases.recurrent(cell, 3, 5)
    stateful = Recurrent(CELLS[cell], 3, 5, stateful=True).double().eval()
    stateful.load_state_dict(rnn.state_dict())
    x = randn(4, 8, 3)
    whole, _ = rnn(x)
    halves = torch.cat([stateful(x[:, :5])[0], stateful(x[:, 5:])[0]], dim=1)
    assert cases.difference(halves, whole) < 1e-12
    states, outputs = tuple(torch.zeros(4, 5).double() for _ in CELLS[cell].state), []
    for t in range(8):
        new = rnn.cells[0][0](x[:, t], states)
        states = new if isinstance(new, tuple) else (new,)
        outputs.append(states[0])
    assert cases.difference(torch.stack(outputs, 1), whole) < 1e-12


FRUIT = ("apple", "pear", "plum", "cherry", "peach")
DISHES = ("salad", "cake", "jam", "juice")
PRAISE = ("delicious", "fresh", "sweet", "cold")


def corpus_of_fruit_and_pairs(path) -> None:
    """Sentences in which pears are eaten and pairs are counted; never the two of the example."""
    generator = np.random.default_rng(1)
    lines = []
    for _ in range(600):
        first, second = generator.choice(FRUIT, 2, replace=False)
        dish, praise = generator.choice(DISHES), generator.choice(PRAISE)
        lines.append(f"The {first} and {second} {dish} was {praise}")
        lines.append(
            f"A pair of {generator.choice(('shoes', 'gloves', 'socks'))} was {generator.choice(PRAISE)}"
        )
    kept = [line for line in lines if line != "The apple and pear salad was delicious"]
    path.write_text("\n".join(kept) + "\n", encoding="utf-8")


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_sentence_probability(cell, tmp_path):
    """P(The apple and pear salad was delicious) > P(The apple and pair salad was delicious)."""
    corpus_of_fruit_and_pairs(tmp_path / "fruit.txt")
    config = LMConfig(
        data=TextConfig(train=[str(tmp_path / "fruit.txt")], layout="lines", vocabulary="words"),
        model=LanguageModelConfig(cell=cell, hidden_size=24, embedding_size=12),
        training=TrainingConfig(batch_size=16, bptt=16, epochs=2, threads=1),
        optimiser=recurra.OptimiserConfig(learning_rate=2e-2),
    )
    run = recurra.train(config, out=tmp_path / "run")
    pear, pair = run.predict(
        ["The apple and pear salad was delicious", "The apple and pair salad was delicious"]
    )
    assert (pear.unknown, pair.unknown) == (0, 0)
    assert pear.log_prob > pair.log_prob + 2
    # log P(y) = Σ log P(y_t | y_<t), EOS included
    assert len(pear.tokens) == len(pair.tokens) == 8
    assert pear.log_prob == pytest.approx(sum(pear.token_log_probs))
    assert pear.token_log_probs[:3] == pytest.approx(pair.token_log_probs[:3])
    assert pear.token_log_probs[3] > pair.token_log_probs[3]


def test_first_symbols_are_drawn_as_often_as_the_softmax_says():
    """From the zero state and the zero input, over many samples."""
    n, vocabulary = 4000, 6
    model = LanguageModel(LanguageModelConfig(cell="gru", hidden_size=8, embedding_size=4), vocabulary).eval()
    cases.randomise(model, 1.0)
    stepper = model.stepper(Batch.of_rows(1))
    expected = stepper.start().log_probs[0].exp()
    by_hand = model.rnn(torch.zeros(1, 1, 4))[0]
    torch.testing.assert_close(expected, model.log_probs(by_hand)[0, 0].exp())
    drawn = [int(item.ids[0]) for item in sample(stepper, SamplingConfig(max_length=1, seed=3), n)]
    frequencies = torch.bincount(torch.tensor(drawn), minlength=vocabulary) / n
    deviations = (frequencies - expected) / (expected * (1 - expected) / n).sqrt()
    assert deviations.abs().max() < 4


def test_sampling_stops_at_eos_or_at_the_limit():
    vocabulary, eos = 6, 2
    model = LanguageModel(
        LanguageModelConfig(cell="lstm", hidden_size=8, embedding_size=4), vocabulary
    ).eval()
    cases.randomise(model, 1.0)
    samples = list(
        sample(model.stepper(Batch.of_rows(1)), SamplingConfig(max_length=9, seed=5), 200, stop=eos)
    )
    assert {item.stopped for item in samples} == {True, False}
    for item in samples:
        ids = item.ids.tolist()
        assert item.stopped == (ids[-1] == eos)
        assert eos not in ids[:-1]
        assert item.stopped or len(ids) == 9


def test_bleu_clips_counts_and_takes_the_mean_of_logarithms():
    """Two references of "the cat the cat on the mat": 5/7, 4/6, 2/5, 1/4 and BP 1 give 46.71."""
    references = ["The cat is on the mat.", "There is a cat on the mat."]
    output = "The cat the cat on the mat."
    plain = [line.lower().removesuffix(".") for line in (output, *references)]
    both = corpus_bleu(plain[:1], [plain[1:]])
    assert both.counts == "5/7 4/6 2/5 1/4"
    assert both.brevity_penalty == 1
    assert both.value == pytest.approx(46.71, abs=0.005)
    mean_of_logs = sum(math.log(p) for p in (5 / 7, 4 / 6, 2 / 5, 1 / 4)) / 4
    assert both.value == pytest.approx(100 * math.exp(mean_of_logs))
    assert corpus_bleu(plain[:1], [plain[1:2]]).counts == "5/7 3/6 1/5 0/4"
    for reference in plain[1:]:
        same = corpus_bleu([reference], [plain[1:]])
        assert same.matches == same.totals
        assert same.precisions == pytest.approx((100,) * 4)
        assert same.value == pytest.approx(100)


@dataclass(frozen=True)
class Words:
    """A table behind the Stepper protocol: which word follows which, the first row being the start."""

    table: Tensor

    def start(self) -> Step:
        return Step(self.table[:1].log(), torch.zeros(1, dtype=torch.int64))

    def step(self, symbols: Tensor, state: Tensor) -> Step:
        return Step(self.table[symbols + 1].log(), state)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


FOLLOWS = {
    "": {"Jane": 0.9, "in": 0.1},
    "Jane": {"is": 0.95, "in": 0.05},
    "is": {"going": 0.45, "visiting": 0.35, "in": 0.2},
    "going": {"to": 0.6, "in": 0.4},
    "to": {"be": 0.55, "Africa": 0.45},
    "be": {"visiting": 0.8, "in": 0.2},
    "visiting": {"Africa": 0.9, "in": 0.1},
    "Africa": {"in": 0.85, ".": 0.15},
    "in": {"September": 0.8, "Africa": 0.2},
    "September": {".": 0.95, "is": 0.05},
    ".": {"<eos>": 1.0},
}


def test_greedy_against_beam():
    """Jane visite l'Afrique en septembre: going is the likelier third word, not the better sentence."""
    words = ["<eos>", *[word for word in FOLLOWS if word]]
    table = torch.zeros(len(words) + 1, len(words), dtype=torch.float64)
    for word, following in FOLLOWS.items():
        for follower, probability in following.items():
            table[words.index(word) + 1 if word else 0, words.index(follower)] = probability
    model = Words(table)

    def say(ids: Tensor) -> str:
        return " ".join(words[symbol] for symbol in ids.tolist() if symbol).replace(" .", ".")

    def probability(sentence: str) -> float:
        ids = [words.index(word) for word in sentence.replace(".", " . <eos>").split()]
        return math.exp(score_targets(model, [torch.tensor(ids)])[0])

    assert probability("Jane is going") > probability("Jane is visiting")
    greedily = greedy(model, stop=0, max_lengths=[19])[0]
    assert say(greedily.ids) == "Jane is going to be visiting Africa in September."
    found = beam_search(model, BeamConfig(beam_size=3, n_best=3), stop=0, max_lengths=[19])[0]
    assert say(found[0].ids) == "Jane is visiting Africa in September."
    assert found[0].log_prob > greedily.log_prob
    assert math.exp(found[0].log_prob) == pytest.approx(probability("Jane is visiting Africa in September."))


@pytest.mark.parametrize(("alpha", "best"), [(0.0, 1), (0.7, 6), (1.0, 30)])
def test_length_normalisation(alpha, best):
    """log P / T_y^α, T_y = 1 … 30, of a word repeated until a coin of 0.3 ends it: α = 0 prefers the short."""
    model = Words(torch.tensor([[0.3, 0.7]] * 3, dtype=torch.float64))
    config = BeamConfig(beam_size=30, n_best=30, length_penalty=alpha)
    found = beam_search(model, config, stop=0, max_lengths=[30])[0]
    by_hand = {T: ((T - 1) * math.log(0.7) + math.log(0.3)) / T**alpha for T in range(1, 31)}
    assert [len(one.ids) for one in found] == sorted(by_hand, key=lambda T: -by_hand[T])
    assert [one.score for one in found] == pytest.approx(sorted(by_hand.values(), reverse=True), rel=1e-12)
    assert len(found[0].ids) == best
