"""Drawing one symbol for each row, with uniform numbers that are given."""

from __future__ import annotations

import math

import pytest
import torch

from recurra.contracts import Step
from recurra.decode.config import SamplingConfig
from recurra.decode.drawing import BernoulliDrawing, CategoricalDrawing, drawing_of
from recurra.errors import ConfigError, ShapeError

P = torch.tensor([[0.1, 0.4, 0.0, 0.5], [0.25, 0.25, 0.3, 0.2], [0.0, 0.0, 1.0, 0.0]], dtype=torch.float64)


def column(*numbers: float) -> torch.Tensor:
    return torch.tensor(numbers, dtype=torch.float64)[:, None]


def test_the_step_says_how_its_symbols_are_drawn():
    ids, sets = (
        drawing_of(Step(P.log(), None, distribution=distribution), SamplingConfig(), None, ())
        for distribution in ("categorical", "bernoulli")
    )
    assert isinstance(ids, CategoricalDrawing)
    assert isinstance(sets, BernoulliDrawing)
    assert isinstance(drawing_of(Step(P.log(), None), SamplingConfig(), 0, (1,)), CategoricalDrawing)
    assert (ids.width, sets.width) == (1, 4)


def test_ids_are_drawn_by_inverting_the_distribution_function():
    """The edges of the steps belong to the symbol above, so that one without probability is never drawn."""
    drawing = CategoricalDrawing(4, SamplingConfig(), stop=3, forbid=())
    ids, log_probs, stopped = drawing.draw(P.log(), column(0.05, 0.55, 0.0))
    assert ids.tolist() == [0, 2, 2]
    assert log_probs.tolist() == pytest.approx([math.log(0.1), math.log(0.3), 0.0])
    assert stopped.tolist() == [False, False, False]
    halves = torch.tensor([[0.0, 0.5, 0.0, 0.5]], dtype=torch.float64).log().expand(4, 4)
    ids, _, stopped = drawing.draw(halves, column(0.0, 0.5 - 2**-53, 0.5, 1 - 2**-53))
    assert ids.tolist() == [1, 1, 3, 3]
    assert stopped.tolist() == [False, False, True, True]


def test_forbidden_ids_leave_their_share_to_the_others():
    drawing = CategoricalDrawing(4, SamplingConfig(), stop=None, forbid=(3, 0, 3))
    ids, log_probs, stopped = drawing.draw(P.log(), column(0.999, 0.4, 0.3))
    assert ids.tolist() == [1, 1, 2]
    assert log_probs.tolist() == pytest.approx([math.log(0.4), math.log(0.25), 0.0])
    assert not stopped.any()
    with pytest.raises(ConfigError, match="forbid: no symbol that is left has any probability"):
        CategoricalDrawing(4, SamplingConfig(), None, (2,)).draw(P.log(), column(0.1, 0.2, 0.3))


def test_at_temperature_zero_no_number_matters():
    for number in (0.0, 0.9):
        ids, _, _ = CategoricalDrawing(4, SamplingConfig(temperature=0), None, ()).draw(
            P.log(), column(*[number] * 3)
        )
        assert ids.tolist() == [3, 2, 2]
        sets, _, _ = BernoulliDrawing(4, SamplingConfig(temperature=0), None, ()).draw(
            P.log(), torch.full((3, 4), number, dtype=torch.float64)
        )
        assert sets.tolist() == [[0, 0, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0]]  # a half is a tie: off


def test_each_key_compares_its_probability_with_its_number():
    random = torch.tensor(
        [[0.05, 0.41, 0.0, 0.49], [0.3, 0.2, 0.2, 0.21], [0.0, 0.9, 0.999, 0.5]], dtype=torch.float64
    )
    drawing = BernoulliDrawing(4, SamplingConfig(), None, forbid=(1,))
    sets, log_probs, stopped = drawing.draw(P.log(), random)
    assert sets.tolist() == [[1, 0, 0, 1], [0, 0, 1, 0], [0, 0, 1, 0]]
    by_key = torch.where(sets == 1, P, 1 - P).log().sum(1)
    torch.testing.assert_close(log_probs, by_key, rtol=0, atol=1e-12)
    assert stopped.tolist() == [False] * 3


def test_prompts_are_checked_and_become_whole_numbers():
    ids = CategoricalDrawing(4, SamplingConfig(), None, ())
    assert ids.prompt([3, 0, 1]).tolist() == [3, 0, 1]
    assert ids.prompt(torch.tensor([2, 1], dtype=torch.int32)).dtype == torch.int64
    assert ids.prompt(()).shape == (0,)
    for wrong in ([0, 4], [-1], [0.5], [[1, 2]]):
        with pytest.raises(ShapeError, match=r"prompt: expected ids \[P\] from 0 to 3, got"):
            ids.prompt(wrong)
    sets = BernoulliDrawing(3, SamplingConfig(), None, ())
    assert sets.prompt([[1, 0, 1], [0, 0, 0]]).tolist() == [[1, 0, 1], [0, 0, 0]]
    assert sets.prompt([]).shape == (0, 3)
    for wrong in ([[1, 0]], [1, 0, 1], [[2, 0, 0]]):
        with pytest.raises(ShapeError, match=r"prompt: expected note sets \[P, 3\] of 0 and 1, got"):
            sets.prompt(wrong)


@pytest.mark.parametrize(
    ("kind", "settings", "stop", "forbid", "message"),
    [
        (CategoricalDrawing, {}, 4, (), "stop: expected ids from 0 to 3, got 4"),
        (CategoricalDrawing, {}, None, (1, -1), "forbid: expected ids from 0 to 3, got -1"),
        (CategoricalDrawing, {}, None, (3, 2, 1, 0, 0), "forbid: all 4 symbols are forbidden"),
        (BernoulliDrawing, {}, None, (4,), "forbid: expected ids from 0 to 3, got 4"),
        (BernoulliDrawing, {}, 1, (), "stop: has no meaning for note sets"),
        (BernoulliDrawing, {"top_k": 2}, None, (), "top_k: has no meaning for note sets"),
        (BernoulliDrawing, {"top_p": 0.5}, None, (), "top_p: has no meaning for note sets"),
    ],
)
def test_settings_that_do_not_fit_are_refused(kind, settings, stop, forbid, message):
    with pytest.raises(ConfigError, match=message):
        kind(4, SamplingConfig(**settings), stop, forbid)


def test_all_keys_may_be_forbidden():
    """A set without keys is a rest; an id there must be."""
    sets, log_probs, _ = BernoulliDrawing(4, SamplingConfig(), None, range(4)).draw(
        P[:2].log(), torch.zeros(2, 4, dtype=torch.float64)
    )
    assert not sets.any()
    assert log_probs.tolist() == pytest.approx((1 - P[:2]).log().sum(1).tolist())
