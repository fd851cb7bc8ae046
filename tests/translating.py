"""A translator's run as the tests use it: options from a `BeamConfig`, runs of an ensemble, and what was scored."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from recurra import Batch
from recurra.data.pair_vocabularies import encode_line
from recurra.decode import BeamConfig
from recurra.metrics.evaluation import Evaluation
from recurra.tasks.run import Run
from recurra.tasks.translations import Translation


def _options(beam: BeamConfig | None, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    values = dataclasses.asdict(beam or BeamConfig())
    return {name: value for name, value in values.items() if name not in leave_out}


def translate(
    run: Run,
    lines: Sequence[str],
    beam: BeamConfig | None = None,
    greedy: bool = False,
    copy_unknown: bool = False,
    others: Sequence[Run] = (),
) -> Iterator[Translation]:
    run = run.with_ensemble(others) if others else run
    return run.iter_predict(lines, **_options(beam), greedy=greedy, copy_unknown=copy_unknown)


def evaluate(
    run: Run,
    test: Sequence[str | Path] = (),
    beam: BeamConfig | None = None,
    greedy: bool = False,
    others: Sequence[Run] = (),
) -> Evaluation:
    run = run.with_ensemble(others) if others else run
    return run.evaluate({"test": list(map(str, test))}, **_options(beam, ("n_best",)), greedy=greedy)


def scored(evaluation: Evaluation) -> tuple[list[str], list[str], list[list[str]]]:
    """Sources, outputs and references."""
    rows = evaluation.tables["outputs"].rows
    return [row[0] for row in rows], [row[1] for row in rows], [list(row[2:]) for row in rows]


def settings_of(run: Run, config: Any) -> Run:
    """The same run with another configuration."""
    return Run(dataclasses.replace(run.opened, config=config), run.model)


def log_prob(run: Run, source: str, target: str) -> float:
    """Of a target by the model's own loss, all at once."""
    ids = [torch.from_numpy(encode_line(run.vocabularies["source"], source)[0])]
    ids.append(torch.from_numpy(encode_line(run.vocabularies["target"], target)[0]))
    lengths = [torch.tensor([len(each)]) for each in ids]
    with torch.no_grad():
        batch = Batch(ids[0][None], ids[1][None], len(ids[1]), lengths[0], lengths[1])
        return -float(run.model(batch)[0])
