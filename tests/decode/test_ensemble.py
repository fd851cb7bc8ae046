"""Ensembles: one equals its model, two the mean of two tables."""

from __future__ import annotations

import math
from dataclasses import dataclass

import pytest
import torch

from recurra.contracts import Step
from recurra.decode import BeamConfig, Ensemble, SamplingConfig, beam_search, greedy, sample, score_targets
from recurra.errors import ConfigError, ShapeError
from toy_stepper import STOP, Toy, toy

LIMITS = [5, 3, 4]
CONFIG = BeamConfig(beam_size=3, n_best=3, coverage_penalty=0.1)


def search(stepper: object) -> list:
    return beam_search(stepper, CONFIG, stop=STOP, max_lengths=LIMITS, source_lengths=[4, 1, 3])


def check_same(ours: list, theirs: list, exact: bool) -> None:
    for mine, other in zip(ours, theirs, strict=True):
        assert [one.ids.tolist() for one in mine] == [one.ids.tolist() for one in other]
        for one, two in zip(mine, other, strict=True):
            tolerance = 0 if exact else 1e-12
            torch.testing.assert_close(one.attention, two.attention, rtol=tolerance, atol=tolerance)
            for a, b in ((one.score, two.score), (one.log_prob, two.log_prob)):
                assert a == b if exact else a == pytest.approx(b, rel=tolerance)


@pytest.mark.parametrize("seed", [0, 1])
def test_ensemble_of_one_equals_its_model(seed):
    model = toy(seed=seed)
    check_same(search(Ensemble([model])), search(model), exact=True)
    ours, theirs = (greedy(one, stop=STOP, max_lengths=LIMITS) for one in (Ensemble([model]), model))
    assert [one.ids.tolist() for one in ours] == [one.ids.tolist() for one in theirs]


def test_ensemble_of_two_equals_the_mean_by_hand():
    """Both have symbols of probability 0, not the same ones; the mean is of probabilities, not logarithms."""
    first, second = toy(seed=1, impossible=0.3), toy(seed=2, impossible=0.3)
    mean = ((first.log_probs.exp() + second.log_probs.exp()) / 2).log()
    assert (mean == -math.inf).any()
    expected = Toy(mean, (first.attention + second.attention) / 2, first.source_lengths)
    ensemble = Ensemble([first, second])
    found = search(ensemble)
    check_same(found, search(expected), exact=False)
    best = [one[0] for one in found]
    assert score_targets(ensemble, [one.ids for one in best]) == [one.log_prob for one in best]
    check_same(search(Ensemble([second, first])), found, exact=False)


def test_attention_is_that_of_the_members_which_have_any():
    members = [toy(seed=1), toy(seed=2, attention=False), toy(seed=3)]
    attention = Ensemble(members).start().attention
    by_hand = (members[0].attention[:, 0] + members[2].attention[:, 0]) / 2
    torch.testing.assert_close(attention, by_hand, rtol=0, atol=1e-15)
    assert Ensemble(members[1:2]).start().attention is None


def test_members_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="steppers: expected at least one"):
        Ensemble([])
    with pytest.raises(ShapeError, match=r"log_probs: .* shapes \(3, 4\) and \(3, 5\); combine"):
        Ensemble([toy(), toy(vocabulary=5)]).start()
    with pytest.raises(ShapeError, match=r"attention: .* \(2, 3\) and \(2, 4\)"):
        Ensemble([toy(source_lengths=(4, 1)), toy(source_lengths=(3, 2))]).start()


@dataclass(frozen=True)
class Keys:
    """One source, whose keys are on with the same probabilities at every step."""

    on: tuple[float, ...]

    def start(self) -> Step:
        return self.step(torch.zeros(1, len(self.on)), None)

    def step(self, symbols: torch.Tensor, state: None) -> Step:
        log_probs = torch.tensor([self.on], dtype=torch.float64).log().repeat(len(symbols), 1)
        return Step(log_probs, None, distribution="bernoulli")

    def select(self, state: None, rows: torch.Tensor) -> None:
        return None


def test_models_of_note_sets_give_note_sets():
    """Keys are drawn one by one from the mean of their probabilities."""
    ensemble = Ensemble([Keys((0.1, 0.9, 0.5, 1.0)), Keys((0.3, 0.7, 0.8, 1.0))])
    step = ensemble.start()
    assert step.distribution == "bernoulli"
    torch.testing.assert_close(step.log_probs.exp(), torch.tensor([[0.2, 0.8, 0.65, 1.0]]).double())
    (greedy_sample,) = sample(ensemble, SamplingConfig(max_length=3, temperature=0))
    assert greedy_sample.ids.tolist() == [[0, 1, 1, 1]] * 3


def test_models_of_note_sets_and_of_text_do_not_mix():
    with pytest.raises(ShapeError, match=r"steppers: .* one distribution, got bernoulli and categorical"):
        Ensemble([toy(source_lengths=(2,), attention=False), Keys((0.1, 0.2, 0.3, 0.4))]).start()


def test_damage_in_one_member_shows():
    damaged = toy(seed=1)
    damaged.log_probs[0, 0, 1] = math.nan
    with pytest.raises(ShapeError, match="NaN"):
        search(Ensemble([toy(seed=2), damaged]))
