"""Back-pointers and pools against plain lists."""

from __future__ import annotations

import math
import random

import pytest
import torch

from recurra.decode.hypotheses import FinishedPool, History

STOP = 0


def random_history(
    generator: random.Random, sizes: list[int], width: int | None
) -> tuple[History, list[list[tuple[int, ...]]], list[list[list[list[float]]]]]:
    """A history of steps of these numbers of rows; the symbols and the attention that led to each of their rows."""
    history, ids, seen = History(), [[() for _ in range(sizes[0])]], [[[] for _ in range(sizes[0])]]
    for step, rows in enumerate(sizes):
        attention = (
            None
            if width is None
            else torch.tensor([[generator.random() for _ in range(width)] for _ in range(rows)])
        )
        history.attend(attention)
        if attention is not None:
            for row in range(rows):
                seen[step][row] = [*seen[step][row], attention[row].tolist()]
        if step + 1 < len(sizes):
            parents = [generator.randrange(rows) for _ in range(sizes[step + 1])]
            symbols = [generator.randint(1, 9) for _ in parents]
            history.extend(torch.tensor(parents, dtype=torch.int64), torch.tensor(symbols, dtype=torch.int64))
            ids.append(
                [(*ids[step][parent], symbol) for parent, symbol in zip(parents, symbols, strict=True)]
            )
            seen.append([seen[step][parent] for parent in parents])
    return history, ids, seen


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("width", [None, 3])
def test_hypotheses_are_read_back_along_their_parents(seed, width):
    """Ends at any step and row, in any order, finished or not."""
    generator = random.Random(seed)
    sizes = [2, 5, 4, 1, 3]
    history, ids, seen = random_history(generator, sizes, width)
    places = [(step, row) for step, rows in enumerate(sizes) for row in range(rows)]
    generator.shuffle(places)
    places = places[:9]
    finished = [generator.random() < 0.6 for _ in places]
    log_probs = [-generator.random() for _ in places]
    scores = [log_prob / 2 for log_prob in log_probs]
    steps, rows = (torch.tensor(column) for column in zip(*places, strict=True))
    pool = FinishedPool(
        torch.tensor(scores, dtype=torch.float64),
        torch.tensor(log_probs, dtype=torch.float64),
        steps,
        rows,
        torch.tensor(finished),
    )
    hypotheses = history.hypotheses(pool, STOP)
    assert [one.finished for one in hypotheses] == finished
    assert [(one.log_prob, one.score) for one in hypotheses] == list(zip(log_probs, scores, strict=True))
    for (step, row), end, one in zip(places, finished, hypotheses, strict=True):
        expected = [*ids[step][row], STOP] if end else list(ids[step][row])
        assert one.ids.tolist() == expected
        if width is None:
            assert one.attention is None
        else:
            assert one.attention.shape == (len(expected), width)
            assert one.attention.tolist() == seen[step][row][: len(expected)]


def test_no_ends_give_no_hypotheses():
    assert History().hypotheses(FinishedPool.empty(0), STOP) == []


def test_an_empty_pool_has_no_score():
    pool = FinishedPool.empty(2, 3)
    assert {tuple(field.shape) for field in pool.fields()} == {(2, 3)}
    assert bool((pool.scores == -math.inf).all())
    assert not pool.finished.any()


@pytest.mark.parametrize("seed", range(4))
def test_pools_keep_the_best_and_the_first_of_equals(seed):
    """Against a stable sort of all that was added; few values, so that ties are many."""
    generator = random.Random(seed)
    sources, places = 4, 3
    pool = FinishedPool.empty(sources, places)
    added: list[list[tuple[float, int]]] = [[] for _ in range(sources)]
    number = 0
    for width in (2, 1, 4, 2):
        chosen = sorted(generator.sample(range(sources), 3))
        scores = [[-float(generator.randint(1, 4)) for _ in range(width)] for _ in chosen]
        steps = [[(number := number + 1) for _ in range(width)] for _ in chosen]
        for source, values, numbers in zip(chosen, scores, steps, strict=True):
            added[source] += zip(values, numbers, strict=True)
        values, numbers = torch.tensor(scores, dtype=torch.float64), torch.tensor(steps)
        pool.add(
            torch.tensor(chosen),
            FinishedPool(values, 2 * values, numbers, 3 * numbers, numbers % 2 == 0),
        )
    for source in range(sources):
        best = sorted(added[source], key=lambda pair: -pair[0])[:places]
        count = len(best)
        kept = list(zip(pool.scores[source].tolist(), pool.steps[source].tolist(), strict=True))
        assert kept[:count] == best
        assert all(score == -math.inf for score, _ in kept[count:])
        # The other fields went along.
        assert torch.equal(pool.log_probs[source, :count], 2 * pool.scores[source, :count])
        assert torch.equal(pool.rows[source], 3 * pool.steps[source])
        assert pool.finished[source, :count].tolist() == [step % 2 == 0 for _, step in best]


def test_put_writes_at_numbers_or_a_mask():
    one = FinishedPool(
        torch.tensor([-1.0], dtype=torch.float64),
        torch.tensor([-2.0], dtype=torch.float64),
        torch.tensor([3]),
        torch.tensor([4]),
        torch.tensor([True]),
    )
    for where in (torch.tensor([1]), torch.tensor([False, True, False])):
        pool = FinishedPool.empty(3)
        pool.put(where, one)
        assert pool.scores.tolist() == [-math.inf, -1.0, -math.inf]
        assert (pool.log_probs[1].item(), pool.steps[1].item(), pool.rows[1].item()) == (-2.0, 3, 4)
        assert pool.finished.tolist() == [False, True, False]
