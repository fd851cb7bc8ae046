"""Beam search against exhaustive search, against a plain loop, and by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch import Tensor

from recurra.contracts import Step
from recurra.decode import BeamConfig, Hypothesis, beam_search, greedy, score_targets
from recurra.errors import ConfigError, ShapeError
from toy_stepper import STOP, Toy, chain, exhaustive, plain_beam, toy

LIMITS = [5, 3, 4]

PENALTIES = {
    "alpha 0": BeamConfig(length_penalty=0.0),
    "alpha 0.5": BeamConfig(length_penalty=0.5),
    "alpha 0.7": BeamConfig(),
    "alpha 1": BeamConfig(length_penalty=1.0),
    "gnmt": BeamConfig(penalty="gnmt", length_penalty=0.8),
    "gnmt with coverage": BeamConfig(penalty="gnmt", length_penalty=0.6, coverage_penalty=0.4),
    "power with coverage": BeamConfig(coverage_penalty=0.2),
}

RESTRICTIONS = {
    "none": {},
    "three at least": {"min_length": 3},
    "no symbol twice": {"no_repeat_ngram": 1},
    "no pair twice": {"no_repeat_ngram": 2},
}


def search(model: Toy, config: BeamConfig, limits: list[int], **keywords: object) -> list[list[Hypothesis]]:
    return beam_search(
        model, config, stop=STOP, max_lengths=limits, source_lengths=model.source_lengths, **keywords
    )


def summary(found: list[Hypothesis]) -> list[tuple[float, list[int]]]:
    return [(one.score, one.ids.tolist()) for one in found]


def check_found(model: Toy, source: int, found: list[Hypothesis], expected: list) -> None:
    """The same sequences in the same order, with the same scores; all finished."""
    assert [tuple(one.ids.tolist()) for one in found] == [ids for _, ids in expected]
    assert [one.score for one in found] == pytest.approx([score for score, _ in expected], rel=1e-12)
    assert all(one.finished for one in found)
    for one in found:
        assert one.log_prob == pytest.approx(model.log_prob(source, tuple(one.ids.tolist())), rel=1e-12)
        if model.attention is not None:
            codes = [model.code(tuple(one.ids[:t].tolist())) for t in range(len(one.ids))]
            assert torch.equal(one.attention, model.attention[source, codes])


@pytest.mark.parametrize("restriction", RESTRICTIONS)
@pytest.mark.parametrize("penalty", PENALTIES)
def test_wide_beam_equals_exhaustive_search(penalty, restriction):
    model = toy(seed=len(penalty) + len(restriction))
    config = replace(PENALTIES[penalty], beam_size=81, n_best=81, **RESTRICTIONS[restriction])
    for source, found in enumerate(search(model, config, LIMITS)):
        expected = exhaustive(model, source, config, LIMITS[source])
        assert expected
        check_found(model, source, found, expected[:81])


@given(
    seed=st.integers(0, 10_000),
    beam_size=st.integers(1, 6),
    penalty=st.sampled_from(sorted(PENALTIES)),
    restriction=st.sampled_from(sorted(RESTRICTIONS)),
    impossible=st.sampled_from([0.0, 0.3]),
    attention=st.booleans(),
)
@settings(max_examples=40, deadline=None)
def test_narrow_beam_equals_a_plain_loop(seed, beam_size, penalty, restriction, impossible, attention):
    """The loop runs to the limit: stopping early loses nothing."""
    model = toy(seed=seed, impossible=impossible, attention=attention)
    config = replace(PENALTIES[penalty], beam_size=beam_size, n_best=beam_size, **RESTRICTIONS[restriction])
    if not attention:
        config = replace(config, coverage_penalty=0.0)
    for source, found in enumerate(search(model, config, LIMITS)):
        expected = plain_beam(model, source, config, LIMITS[source])
        if expected:
            check_found(model, source, found, expected)
        else:
            assert [one.finished for one in found] == [False]


def test_scores_are_the_models_own():
    """With a narrow beam, on many sources at once, log P is what the model says of the sequence itself."""
    model = toy(vocabulary=6, longest=4, source_lengths=(3, 1, 4, 2, 5, 3), seed=8)
    config = BeamConfig(beam_size=3, n_best=3, penalty="gnmt", coverage_penalty=0.3)
    found = search(model, config, [4] * 6)
    for place in range(3):
        column = [hypotheses[place] for hypotheses in found]
        assert score_targets(model, [one.ids for one in column]) == [one.log_prob for one in column]
        for source, one in enumerate(column):
            assert one.score == pytest.approx(model.score(source, tuple(one.ids.tolist()), config), rel=1e-12)


@pytest.mark.parametrize("penalty", ["alpha 0.7", "gnmt with coverage"])
def test_batch_order_and_n_best_change_nothing(penalty):
    lengths = (3, 1, 5, 2, 4)
    model = toy(source_lengths=lengths, seed=3)
    config = replace(PENALTIES[penalty], beam_size=3, n_best=3)
    limits = [5, 2, 4, 5, 3]
    whole = search(model, config, limits)
    order = [3, 0, 4, 2, 1]
    parts = [[source] for source in range(5)] + [order, order[:2]]
    for part in parts:
        found = search(model.only(part), config, [limits[source] for source in part])
        for source, hypotheses in zip(part, found, strict=True):
            assert [one.ids.tolist() for one in hypotheses] == [one.ids.tolist() for one in whole[source]]
            for mine, theirs in zip(hypotheses, whole[source], strict=True):
                assert (mine.log_prob, mine.score) == pytest.approx(
                    (theirs.log_prob, theirs.score), rel=1e-12
                )
                width = mine.attention.shape[1]
                assert torch.equal(mine.attention, theirs.attention[:, :width])
                assert not theirs.attention[:, width:].any()
    for n_best in (1, 2):
        model.rows.clear()
        fewer = search(model, replace(config, n_best=n_best), limits)
        rows = list(model.rows)
        assert [summary(one) for one in fewer] == [summary(one)[:n_best] for one in whole]
        model.rows.clear()
        search(model, config, limits)
        assert model.rows == rows


def test_ties_go_to_the_lower_hypothesis_then_to_the_lower_id():
    """Four equal symbols: 1 and 2 live on, then 11 and 12, since the first hypothesis comes first."""
    quarter = [0.25, 0.25, 0.25, 0.25]
    model = chain(quarter, quarter, quarter)
    config = BeamConfig(beam_size=2, n_best=2, length_penalty=0.0, min_length=3)
    found = search(model, config, [3])[0]
    assert [one.ids.tolist() for one in found] == [[1, 1, STOP], [1, 2, STOP]]
    # With alpha 1 every sequence scores log 1/4, and those that finish first keep the pool.
    found = search(model, BeamConfig(beam_size=2, n_best=2, length_penalty=1.0), [3])[0]
    assert [one.ids.tolist() for one in found] == [[STOP], [1, STOP]]


def test_ties_in_a_large_vocabulary():
    """All of a thousand symbols are equal, of which four are forbidden and one ends."""
    uniform = torch.full((1, 1001, 1000), -math.log(1000), dtype=torch.float64)
    config = BeamConfig(beam_size=3, n_best=3, min_length=2)
    found = beam_search(Toy(uniform, None, [1]), config, stop=5, max_lengths=[2], forbid=(0, 2, 3, 6))[0]
    assert [one.ids.tolist() for one in found] == [[1, 5], [4, 5], [7, 5]]


def test_length_limits_count_the_stop_symbol():
    """It is never allowed before the minimum, however likely, and alone at the maximum, however unlikely."""
    likely, unlikely = [0.9, 0.06, 0.04], [0.001, 0.7, 0.299]
    model = chain(likely, likely, likely, likely)
    found = search(model, BeamConfig(beam_size=2, n_best=2, min_length=3), [4])[0]
    assert min(len(one.ids) for one in found) == 3
    model = chain(unlikely, unlikely, unlikely, unlikely)
    for limit in (1, 2, 4):
        found = search(
            model, BeamConfig(beam_size=2, n_best=2, length_penalty=1.0, min_length=limit), [limit]
        )[0]
        assert {len(one.ids) for one in found} == {limit}
        assert all(one.finished for one in found)


def test_a_beam_of_one_may_end_better_than_greedily():
    """Greedy would take 1, then 1, then stop; the end it passed at once is better."""
    model = chain([0.45, 0.55, 0.0], [0.3, 0.6, 0.1], [0.9, 0.05, 0.05])
    found = search(model, BeamConfig(beam_size=1, length_penalty=0.0), [3])[0]
    assert found[0].ids.tolist() == [STOP]
    assert found[0].log_prob == pytest.approx(math.log(0.45))


def test_certain_continuation_is_waited_for():
    """log P of 0 keeps its bound at 0: no pool is good enough to stop before it ends."""
    model = chain([0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0])
    found = search(model, BeamConfig(beam_size=1, length_penalty=0.0), [4])[0]
    assert (found[0].ids.tolist(), found[0].log_prob, found[0].score) == ([1, 1, 1, STOP], 0.0, 0.0)


def test_finished_sources_leave_the_batch():
    """Rows asked for: two per live source, sources with shorter limits gone, and none after the last."""
    model = toy(vocabulary=4, longest=5, source_lengths=(2, 3, 2), impossible=0.0, seed=1)
    config = BeamConfig(beam_size=2, n_best=2, min_length=1, length_penalty=1.0)
    search(model, replace(config, min_length=1), [1, 1, 1])
    assert model.rows == [3]
    model.rows.clear()
    beam_search(model, replace(config, beam_size=81, n_best=1), stop=STOP, max_lengths=[1, 2, 4])
    assert model.rows == [3, 3 + 3, 9, 27]


def test_a_source_stops_once_its_pool_is_out_of_reach():
    """The pool holds log 0.9; nothing that lives can reach it: 0.1 ** (1 / 4 ** 0.7) is less."""
    sure = [0.9, 0.1]
    model = chain(sure, sure, sure, sure)
    search(model, BeamConfig(beam_size=1), [4])
    assert model.rows == [1]
    # A second place in the pool is filled by the second end; then nothing is left to hope for.
    model.rows.clear()
    search(model, BeamConfig(beam_size=2, length_penalty=0.0), [4])
    assert model.rows == [1, 1]
    # log 0.01 / 4 may still beat the pool's log 0.09 / 2 at alpha 1; log 0.001 / 4 may not.
    model.rows.clear()
    found = search(model, BeamConfig(beam_size=1, length_penalty=1.0, min_length=2), [4])[0]
    assert found[0].ids.tolist() == [1, STOP]
    assert model.rows == [1, 1, 1]
    model.rows.clear()
    search(model, BeamConfig(beam_size=1, length_penalty=0.0, min_length=2), [4])
    assert model.rows == [1, 1]


def test_a_hypothesis_out_of_the_pools_reach_is_not_extended():
    """After two steps the pool holds 0.4 and 0.15, and of those that live, 0.325 and 0.065, only one can enter."""
    model = chain([0.4, 0.5, 0.1], [0.3, 0.65, 0.05], [1.0, 0.0, 0.0], [1.0, 0.0, 0.0])
    found = search(model, BeamConfig(beam_size=2, n_best=2, length_penalty=0.0), [4])[0]
    assert [one.ids.tolist() for one in found] == [[STOP], [1, 1, STOP]]
    assert model.rows == [1, 2, 1]


def test_a_tie_with_the_pool_does_not_enter():
    """The live hypothesis could reach the pool's worst score, not beat it."""
    model = chain([0.5, 0.5], [1.0, 0.0])
    found = search(model, BeamConfig(beam_size=1, length_penalty=0.0), [2])[0]
    assert found[0].ids.tolist() == [STOP]
    assert model.rows == [1]


def test_symbols_without_probability_neither_live_nor_finish():
    model = chain([0.0, 1.0, 0.0], [0.5, 0.5, 0.0], [0.5, 0.0, 0.5])
    found = search(model, BeamConfig(beam_size=3, n_best=3, length_penalty=0.0), [3])[0]
    assert [one.ids.tolist() for one in found] == [[1, STOP], [1, 1, STOP]]
    assert model.rows == [1, 1, 1]


def test_what_cannot_end_is_returned_unfinished():
    endless = [0.0, 0.7, 0.3]
    found = search(chain(endless, endless, endless), BeamConfig(beam_size=2, n_best=2), [3])[0]
    assert len(found) == 1
    assert not found[0].finished
    assert found[0].ids.tolist() == [1, 1]
    assert found[0].log_prob == pytest.approx(2 * math.log(0.7))
    assert found[0].score == pytest.approx(2 * math.log(0.7) / 2**0.7)
    nothing = search(chain(endless), BeamConfig(), [1])[0][0]
    assert (nothing.ids.tolist(), nothing.log_prob, nothing.score) == ([], 0.0, 0.0)
    # Blocked in the middle: after 1 and 2, every symbol would occur twice.
    found = search(chain(*[endless] * 6), BeamConfig(no_repeat_ngram=1), [6])[0]
    assert found[0].ids.tolist() == [1, 2]
    # Beside a source that ends, with attention.
    model = toy(source_lengths=(3, 2), seed=5, impossible=0.0)
    model.log_probs[0, :, STOP] = -math.inf
    endless, ended = search(model, BeamConfig(beam_size=2, n_best=2), [4, 4])
    assert [one.finished for one in endless] == [False]
    assert endless[0].attention.shape == (3, 3)
    check_found(model, 1, ended, plain_beam(model, 1, BeamConfig(beam_size=2), 4))


def test_forbidden_symbols_are_never_taken():
    model = toy(vocabulary=5, seed=2, impossible=0.0)
    found = search(model, BeamConfig(beam_size=4, n_best=4), LIMITS, forbid=(1, 3))
    for hypotheses in found:
        assert len(hypotheses) == 4
        assert {symbol for one in hypotheses for symbol in one.ids.tolist()} <= {0, 2, 4}
    assert score_targets(model, [one[0].ids for one in found]) == [one[0].log_prob for one in found]


def test_float32_log_probs_are_added_in_float64():
    model = toy(seed=4)
    model.log_probs = model.log_probs.float()
    for source, found in enumerate(search(model, BeamConfig(beam_size=3, n_best=3), LIMITS)):
        for one in found:
            assert one.log_prob == model.log_prob(source, tuple(one.ids.tolist()))


def test_no_sources():
    model = Toy(torch.zeros(0, 1, 3), None, [])
    assert beam_search(model, BeamConfig(), stop=STOP, max_lengths=[]) == []


@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("symbol", [STOP, 2])
def test_damaged_log_probs_are_refused(bad, symbol):
    model = toy(impossible=0.0)
    model.log_probs[1, 2, symbol] = bad
    with pytest.raises(ShapeError, match=r"log_probs: .* not numbers \(NaN or \+inf\)"):
        search(model, BeamConfig(), LIMITS)


@pytest.mark.parametrize(
    ("keywords", "error", "message"),
    [
        ({"stop": 4}, ConfigError, "stop: expected ids from 0 to 3, got 4"),
        ({"forbid": [-1]}, ConfigError, "forbid: expected ids from 0 to 3, got -1"),
        ({"forbid": [0]}, ConfigError, "forbid: 0 is the stop symbol"),
        ({"max_lengths": [5, 5]}, ShapeError, r"max_lengths: .* each of the 3 sources, got int64 \[2\]"),
        ({"max_lengths": [5.0, 5.0, 5.0]}, ShapeError, "max_lengths: expected a whole number"),
        ({"max_lengths": [5, 1, 5]}, ConfigError, "minimum length 2, got 1 for source 1"),
        ({"source_lengths": None}, ConfigError, "source_lengths: a coverage penalty needs"),
        ({"source_lengths": [3]}, ShapeError, r"source_lengths: expected one for each of the 3 .*\[1\]"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(keywords, error, message):
    config = BeamConfig(coverage_penalty=0.1, min_length=2)
    given = {"stop": STOP, "max_lengths": LIMITS, "source_lengths": [4, 1, 3]} | keywords
    with pytest.raises(error, match=message):
        beam_search(toy(), config, **given)


def test_coverage_penalty_without_attention_is_refused():
    with pytest.raises(ConfigError, match="coverage_penalty: this model has no attention"):
        search(toy(attention=False), BeamConfig(coverage_penalty=0.1), LIMITS)


def test_the_models_tensors_are_left_alone():
    """A model may hand out views of its own parameters."""
    model = toy(source_lengths=(3,), seed=6, impossible=0.0)
    log_probs, attention = model.log_probs.clone(), model.attention.clone()

    class Shared(Toy):
        def _say(self, state: tuple[Tensor, Tensor]) -> Step:
            return Step(self.log_probs[:, 0], state, self.attention[:, 0])

    shared = Shared(model.log_probs, model.attention, model.source_lengths)
    config = BeamConfig(beam_size=1, no_repeat_ngram=1, coverage_penalty=0.1, min_length=2)
    search(shared, config, [4], forbid=(1,))
    greedy(shared, stop=STOP, max_lengths=[4], min_length=3, no_repeat_ngram=1, forbid=(1,))
    assert torch.equal(model.log_probs, log_probs)
    assert torch.equal(model.attention, attention)
