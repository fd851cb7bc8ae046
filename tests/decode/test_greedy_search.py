"""Greedy decoding against a plain loop over a table, and by hand."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.decode import greedy, score_targets
from recurra.errors import ConfigError, ShapeError
from toy_stepper import STOP, Toy, chain, repeats, toy

LIMITS = [5, 3, 4]


def by_hand(
    model: Toy, source: int, limit: int, min_length: int, n: int, forbid: tuple[int, ...]
) -> list[int]:
    ids: tuple[int, ...] = ()
    while not ids or ids[-1] != STOP:
        length = len(ids) + 1
        allowed = [STOP] if length >= min_length else []
        if length < limit:
            allowed += [s for s in (1, 2, 3) if s not in forbid and not repeats((*ids, s), n)]
        ids += (max(allowed, key=lambda symbol: model.log_probs[source, model.code(ids), symbol].item()),)
    return list(ids)


@pytest.mark.parametrize(("min_length", "n", "forbid"), [(1, 0, ()), (3, 0, ()), (3, 2, (2,)), (2, 1, ())])
def test_takes_the_most_probable_symbol(min_length, n, forbid):
    for seed in range(4):
        model = toy(seed=seed, impossible=0.0)
        settings = {"min_length": min_length, "no_repeat_ngram": n, "forbid": forbid}
        found = greedy(model, stop=STOP, max_lengths=LIMITS, **settings)
        expected = [by_hand(model, source, LIMITS[source], min_length, n, forbid) for source in range(3)]
        assert [one.ids.tolist() for one in found] == expected
        for source, one in enumerate(found):
            codes = [model.code(tuple(one.ids[:t].tolist())) for t in range(len(one.ids))]
            assert torch.equal(one.attention, model.attention[source, codes])
        rows = [sum(len(ids) > t for ids in expected) for t in range(max(map(len, expected)))]
        assert model.rows == rows
        assert score_targets(model, [one.ids for one in found]) == [one.log_prob for one in found]
        assert all(one.finished and one.score == one.log_prob for one in found)
        alone = [greedy(model.only([s]), stop=STOP, max_lengths=[LIMITS[s]], **settings)[0] for s in range(3)]
        assert [one.ids.tolist() for one in alone] == expected


def test_ties_go_to_the_lower_id():
    model = chain([0.2, 0.4, 0.4], [0.4, 0.2, 0.4])
    assert greedy(model, stop=STOP, max_lengths=[2])[0].ids.tolist() == [1, 0]


def test_what_cannot_end_is_unfinished():
    endless = [0.0, 0.7, 0.3]
    one = greedy(chain(endless, endless, endless), stop=STOP, max_lengths=[3])[0]
    assert (one.ids.tolist(), one.finished, one.attention) == ([1, 1], False, None)
    assert one.log_prob == pytest.approx(2 * math.log(0.7))
    one = greedy(chain([0.0, 1.0], [0.0, 1.0]), stop=STOP, max_lengths=[2], forbid=(1,))[0]
    assert (one.ids.tolist(), one.finished, one.log_prob) == ([], False, 0.0)


def test_bad_arguments_and_damaged_models_are_refused():
    with pytest.raises(ConfigError, match=r"max_lengths: .* minimum length 4, got 3 for source 1"):
        greedy(toy(), stop=STOP, max_lengths=LIMITS, min_length=4)
    with pytest.raises(ConfigError, match="min_length: expected a whole number of at least 1, got 0"):
        greedy(toy(), stop=STOP, max_lengths=LIMITS, min_length=0)
    with pytest.raises(ConfigError, match="no_repeat_ngram: expected a whole number of at least 0, got -1"):
        greedy(toy(), stop=STOP, max_lengths=LIMITS, no_repeat_ngram=-1)
    with pytest.raises(ConfigError, match="forbid: 0 is the stop symbol"):
        greedy(toy(), stop=STOP, max_lengths=LIMITS, forbid=(0,))
    model = toy()
    model.log_probs[2, 0, 1] = math.nan
    with pytest.raises(ShapeError, match="NaN"):
        greedy(model, stop=STOP, max_lengths=LIMITS)
    assert greedy(Toy(torch.zeros(0, 1, 3), None, []), stop=STOP, max_lengths=[]) == []
