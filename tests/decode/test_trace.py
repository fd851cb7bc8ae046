"""The trace of a search is a tree that explains what was found."""

from __future__ import annotations

from collections import Counter

import pytest

from recurra.decode import BeamConfig, Trace, beam_search
from toy_stepper import STOP, chain, toy


def test_trace_explains_the_search():
    model = toy(seed=7)
    config = BeamConfig(beam_size=3, n_best=3, penalty="gnmt", coverage_penalty=0.2)
    arguments = {"stop": STOP, "max_lengths": [5, 3, 4], "source_lengths": model.source_lengths}
    trace = Trace()
    found = beam_search(model, config, trace=trace, **arguments)
    plain = beam_search(model, config, **arguments)
    assert [[one.ids.tolist() for one in each] for each in found] == [
        [one.ids.tolist() for one in each] for each in plain
    ]

    finished, live = {}, Counter()
    for one in trace.extensions:
        ids, up = (one.symbol,), one.parent
        while up is not None:
            parent = trace.extensions[up]
            assert (parent.fate, parent.source) == ("live", one.source)
            ids, up = (parent.symbol, *ids), parent.parent
        assert len(ids) == one.length
        assert one.log_prob == pytest.approx(model.log_prob(one.source, ids), rel=1e-12)
        assert one.score == pytest.approx(model.score(one.source, ids, config), rel=1e-12)
        assert (one.fate == "finished") == (one.symbol == STOP)
        live[one.source, one.length] += one.fate == "live"
        if one.fate == "finished":
            finished[one.source, ids] = one.score
    assert max(live.values()) == 3
    assert {one.fate for one in trace.extensions} == {"live", "finished", "pruned"}
    for source, hypotheses in enumerate(found):
        for one in hypotheses:
            assert finished[source, tuple(one.ids.tolist())] == one.score


def test_trace_by_hand():
    """Of 1 and 2 one lives on; its extension at the second place cannot enter the pool any more."""
    trace = Trace()
    beam_search(
        chain([0.5, 0.3, 0.2], [0.9, 0.1, 0.0], [1.0, 0.0, 0.0]),
        BeamConfig(beam_size=1, length_penalty=1.0, min_length=2),
        stop=STOP,
        max_lengths=[3],
        trace=trace,
    )
    told = [(one.length, one.parent, one.symbol, one.fate) for one in trace.extensions]
    assert told == [(1, None, 1, "live"), (2, 0, 1, "pruned"), (2, 0, STOP, "finished")]
