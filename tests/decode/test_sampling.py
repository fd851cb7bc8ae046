"""Sampling against tables of probabilities behind the Stepper protocol."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from recurra.contracts import Step
from recurra.decode import SamplingConfig, draw, sample
from recurra.decode.sampling import NUMBERS_AT_ONCE, ROWS_AT_ONCE
from recurra.errors import ConfigError, ShapeError

FIRST = torch.tensor([0.05, 0.3, 0.15, 0.4, 0.1], dtype=torch.float64)
EOS = 4
MANY = 6_000


@dataclass(frozen=True)
class Table:
    """A first-order Markov chain: `first` [S, V], `after` [V, V]; its state is the last symbols [R]."""

    first: Tensor
    after: Tensor

    def start(self) -> Step:
        return Step(self.first.log(), torch.full((self.first.shape[0],), -1))

    def step(self, symbols: Tensor, state: Tensor) -> Step:
        assert symbols.dtype == torch.int64
        assert symbols.shape == state.shape
        return Step(self.after[symbols].log(), symbols)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


@dataclass(frozen=True)
class Memory:
    """A model whose distribution depends on everything it has read: state [R] is a rolling hash."""

    size: int

    def start(self) -> Step:
        return self._say(torch.zeros(1, dtype=torch.float64))

    def step(self, symbols: Tensor, state: Tensor) -> Step:
        return self._say((state * 1.7 + symbols + 0.3) % 5)

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]

    def _say(self, state: Tensor) -> Step:
        return Step((torch.arange(self.size) * state[:, None]).sin().log_softmax(1), state)


def chain(first: Tensor = FIRST) -> Table:
    generator = torch.Generator().manual_seed(3)
    after = torch.rand((5, 5), generator=generator, dtype=torch.float64) + 0.1
    return Table(first[None], after / after.sum(1, keepdim=True))


def frequencies(config: SamplingConfig, stepper: Table, **keywords: object) -> Tensor:
    drawn = torch.cat([one.ids[:1] for one in sample(stepper, config, MANY, **keywords)])
    return torch.bincount(drawn, minlength=5) / len(drawn)


def expect(frequency: Tensor, probability: Tensor) -> None:
    """Each frequency within 4.5 standard deviations; what has no probability never drawn."""
    bound = 4.5 * (probability * (1 - probability) / MANY).sqrt()
    assert ((frequency - probability).abs() <= bound).all(), (frequency, probability)


def test_first_symbol_frequencies_equal_the_softmax():
    expect(frequencies(SamplingConfig(max_length=1, seed=5), chain()), FIRST)


@pytest.mark.parametrize("temperature", [0.5, 2.0])
def test_temperature_sharpens_and_flattens(temperature):
    config = SamplingConfig(max_length=1, seed=6, temperature=temperature)
    expect(frequencies(config, chain()), (FIRST.log() / temperature).softmax(0))


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        ({"top_k": 2}, [1, 3]),
        ({"top_k": 9}, [0, 1, 2, 3, 4]),
        ({"top_p": 0.7}, [1, 3]),
        ({"top_p": 0.71}, [1, 2, 3]),
        ({"top_p": 1e-9}, [3]),
        ({"top_p": 1.0}, [0, 1, 2, 3, 4]),
        ({"top_k": 3, "top_p": 0.8}, [1, 3]),  # of the three kept, two hold 0.7 / 0.85
        ({"temperature": 1e-300}, [3]),
    ],
)
def test_filters_keep_the_most_probable_and_their_proportions(settings, kept):
    probability = torch.zeros(5, dtype=torch.float64)
    probability[kept] = FIRST[kept] / FIRST[kept].sum()
    expect(frequencies(SamplingConfig(max_length=1, seed=7, **settings), chain()), probability)


def test_ties_go_to_the_lower_id():
    tied = chain(torch.tensor([0.1, 0.2, 0.2, 0.2, 0.3], dtype=torch.float64))
    assert set(frequencies(SamplingConfig(max_length=1, seed=8, top_k=3), tied).nonzero()[:, 0].tolist()) == {
        1,
        2,
        4,
    }
    many = Table(torch.full((1, 500), 1 / 500, dtype=torch.float64), torch.empty(0))
    drawn = [one.ids.item() for one in sample(many, SamplingConfig(max_length=1, seed=8, top_k=3), 100)]
    assert set(drawn) == {0, 1, 2}
    uniform = chain(torch.full((5,), 0.2, dtype=torch.float64))
    (greedy,) = sample(uniform, SamplingConfig(max_length=1, temperature=0))
    assert greedy.ids.tolist() == [0]


def test_forbidden_symbols_are_never_drawn_and_the_log_probability_is_the_models_own():
    config = SamplingConfig(max_length=1, seed=9)
    probability = FIRST.clone()
    probability[[0, 3]] = 0
    expect(frequencies(config, chain(), forbid=(3, 0)), probability / probability.sum())
    for one in sample(chain(), config, 20, forbid=(3, 0)):
        assert one.log_prob == pytest.approx(math.log(FIRST[one.ids[0]]), abs=1e-12)


def test_log_probability_is_that_of_the_chain_whatever_the_filters():
    stepper = chain()
    config = SamplingConfig(max_length=30, temperature=0.6, top_k=4, top_p=0.9, seed=1)
    for one in sample(stepper, config, 30, stop=EOS):
        ids = one.ids.tolist()
        expected = math.log(stepper.first[0, ids[0]])
        expected += sum(math.log(stepper.after[a, b]) for a, b in pairwise(ids))
        assert one.log_prob == pytest.approx(expected, abs=1e-12)


def test_greedy_follows_the_most_probable_path():
    stepper = chain()
    (greedy,) = sample(stepper, SamplingConfig(max_length=6, temperature=0))
    expected = [int(FIRST.argmax())]
    while len(expected) < 6:
        expected.append(int(stepper.after[expected[-1]].argmax()))
    assert greedy.ids.tolist() == expected


def test_samples_end_at_the_stop_symbol_or_at_the_limit():
    samples = list(sample(chain(), SamplingConfig(max_length=7, seed=2), 200, stop=EOS))
    for one in samples:
        ids = one.ids.tolist()
        assert EOS not in ids[:-1]
        assert one.stopped == (ids[-1] == EOS)
        assert one.stopped or len(ids) == 7
    assert {one.stopped for one in samples} == {True, False}
    assert all(len(one.ids) == 7 for one in sample(chain(), SamplingConfig(max_length=7, seed=2), 20))


def test_a_sample_does_not_depend_on_its_neighbours():
    config = SamplingConfig(max_length=NUMBERS_AT_ONCE + 9, seed=11)
    n = 2 * ROWS_AT_ONCE + 3
    together = list(sample(Memory(7), config, n, stop=6))
    assert len(together) == n
    for number in (0, 1, ROWS_AT_ONCE, n - 1):
        (alone,) = sample(Memory(7), config, 1, stop=6, first_number=number)
        assert alone.ids.tolist() == together[number].ids.tolist()
        assert alone.log_prob == together[number].log_prob
    assert len({tuple(one.ids.tolist()) for one in together if len(one.ids) > 12}) > 20


def test_a_longer_limit_only_goes_on():
    short = sample(Memory(7), SamplingConfig(max_length=10, seed=4), 5)
    long = sample(Memory(7), SamplingConfig(max_length=2 * NUMBERS_AT_ONCE + 5, seed=4), 5)
    for one, other in zip(short, long, strict=True):
        assert one.ids.tolist() == other.ids[:10].tolist()


def test_seeds_repeat_and_differ():
    def ids(seed: int | None) -> list[int]:
        return next(sample(Memory(9), SamplingConfig(max_length=40, seed=seed))).ids.tolist()

    assert ids(1) == ids(1)
    assert ids(1) != ids(2)
    assert ids(1) != ids(1 + 2**32)
    assert ids(None) != ids(None)


def test_the_prompt_is_read_first_and_not_returned():
    prompt = [2, 5, 1]
    stepper = Memory(7)
    config = SamplingConfig(max_length=20, seed=3, temperature=0)
    (free,) = sample(stepper, config)
    (told,) = sample(stepper, config, prompt=free.ids[:8])
    assert told.ids[:12].tolist() == free.ids[8:].tolist()
    step = stepper.start()
    for symbol in prompt:
        step = stepper.step(torch.tensor([symbol]), step.state)
    (one,) = sample(stepper, SamplingConfig(max_length=1, seed=3), prompt=prompt)
    assert one.log_prob == pytest.approx(float(step.log_probs[0, one.ids[0]]), abs=1e-12)


def test_each_source_gets_its_own_samples():
    first = torch.tensor([[0.0, 1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)
    stepper = Table(first, chain().after)
    ids = [one.ids[0].item() for one in sample(stepper, SamplingConfig(max_length=2, seed=1), 3)]
    assert ids == [1, 1, 1, 3, 3, 3]


def test_what_is_drawn_step_by_step_is_what_sample_returns():
    config = SamplingConfig(max_length=12, seed=2)
    streamed: dict[int, list[int]] = {number: [] for number in range(3, 8)}
    for drawn in draw(chain(), config, 5, stop=EOS, first_number=3):
        for number, symbol in zip(drawn.numbers, drawn.symbols.tolist(), strict=True):
            streamed[number].append(symbol)
    assert list(streamed.values()) == [
        one.ids.tolist() for one in sample(chain(), config, 5, stop=EOS, first_number=3)
    ]


@dataclass(frozen=True)
class Keys:
    """Note sets: the probability of each key is `quiet` until the set before held a key, then `loud`."""

    quiet: Tensor
    loud: Tensor

    def start(self) -> Step:
        return Step(self.quiet.log()[None], torch.zeros(1), distribution="bernoulli")

    def step(self, symbols: Tensor, state: Tensor) -> Step:
        assert symbols.shape == (len(state), len(self.quiet))
        log_probs = torch.where(symbols.any(1)[:, None], self.loud, self.quiet).log()
        return Step(log_probs, state, distribution="bernoulli")

    def select(self, state: Tensor, rows: Tensor) -> Tensor:
        return state[rows]


KEYS = Keys(
    torch.tensor([0.1, 0.5, 0.9, 0.0], dtype=torch.float64), torch.tensor([0.7, 0.2, 0.4, 1.0]).double()
)


def test_each_key_of_a_note_set_is_drawn_by_itself():
    samples = list(sample(KEYS, SamplingConfig(max_length=1, seed=1), MANY))
    notes = torch.stack([one.ids[0] for one in samples]).double()  # [R, V]
    expect(notes.mean(0), KEYS.quiet)
    expect((notes[:, 0] * notes[:, 2]).mean()[None], torch.tensor([0.09]))
    one = samples[0]
    p = torch.where(one.ids[0] == 1, KEYS.quiet, 1 - KEYS.quiet)
    assert one.log_prob == pytest.approx(float(p.log().sum()), abs=1e-12)


def test_temperature_flattens_each_key_of_a_note_set():
    config = SamplingConfig(max_length=1, seed=2, temperature=2.0)
    notes = torch.stack([one.ids[0] for one in sample(KEYS, config, MANY)]).double()
    odds = (KEYS.quiet / (1 - KEYS.quiet)).sqrt()
    expect(notes.mean(0), odds / (1 + odds))


def test_note_sets_take_prompts_temperature_and_forbidden_keys():
    (greedy,) = sample(KEYS, SamplingConfig(max_length=2, temperature=0))
    assert greedy.ids.tolist() == [[0, 0, 1, 0], [1, 0, 0, 1]]  # a half is a tie, and leaves the key off
    (prompted,) = sample(KEYS, SamplingConfig(max_length=1, temperature=0), prompt=[[0, 1, 0, 0]])
    assert prompted.ids.tolist() == [[1, 0, 0, 1]]
    for one in sample(KEYS, SamplingConfig(max_length=5, seed=1), 50, forbid=[2]):
        assert one.ids.shape == (5, 4)
        assert not one.ids[:, 2].any()


@pytest.mark.parametrize(
    ("keywords", "error", "names"),
    [
        ({"n": 0}, ConfigError, "n"),
        ({"stop": 5}, ConfigError, "stop"),
        ({"forbid": (-1,)}, ConfigError, "forbid"),
        ({"forbid": range(5)}, ConfigError, "forbid"),
        ({"prompt": [5]}, ShapeError, "prompt"),
        ({"prompt": [-1, 2]}, ShapeError, "prompt"),
        ({"prompt": [[1, 2]]}, ShapeError, "prompt"),
    ],
)
def test_arguments_that_do_not_fit_are_named_at_the_call(keywords, error, names):
    with pytest.raises(error, match=f"^{names}: ") as raised:
        sample(chain(), SamplingConfig(), **keywords)
    assert "\n" not in str(raised.value)


def test_prompts_and_ends_without_meaning_for_note_sets_are_refused():
    with pytest.raises(ShapeError, match=r"^prompt: "):
        sample(KEYS, SamplingConfig(), prompt=[[1, 2]])
    with pytest.raises(ConfigError, match=r"^stop: "):
        sample(KEYS, SamplingConfig(), stop=1)


def test_filters_without_meaning_for_note_sets_are_refused():
    with pytest.raises(ConfigError, match=r"^top_k: "):
        sample(KEYS, SamplingConfig(top_k=3))


def test_a_model_that_says_nothing_usable_is_refused():
    nan = Table(torch.full((1, 5), math.nan), chain().after)
    with pytest.raises(ShapeError, match="NaN"):
        next(sample(nan, SamplingConfig()))
    only_one = chain(torch.tensor([1.0, 0, 0, 0, 0], dtype=torch.float64))
    with pytest.raises(ConfigError, match=r"^forbid: "):
        next(sample(only_one, SamplingConfig(), forbid=[0]))
