"""What the settings that are `auto` become: a function of the size of the training data and of the run's limit alone.

The same files and the same limit give the same numbers on every machine, so that a run can be made again; they are
written into `config.yaml`. The constants come from runs of three minutes on two cores (`benchmarks/defaults.py`),
and from what the best settings by hand had in common there:

- With more time a wider model, of a translator with more data too; with more passes over the same data, more dropout.
- Small batches: in a short run the number of updates matters more than how exact each is.
- The wider the model, the lower the rate.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from recurra.settings import automatic_keys, is_auto, replaced, value_at
from recurra.tasks.changes import KEPT
from recurra.training.config import FitConfig

if TYPE_CHECKING:
    from collections.abc import Mapping

    from recurra.data.pair_vocabularies import PairVocabularyKind
    from recurra.data.pairs import PairConfig, PairSizes
    from recurra.tasks.lm import LMConfig
    from recurra.tasks.opened import OpenedRun
    from recurra.tasks.task import AnyTask, TaskConfig
    from recurra.tasks.translate import TranslateConfig

CHARACTERS = {"characters": 1.0, "bytes": 1.0, "subwords": 4.0, "words": 5.5, "notes": 1.0}
"""Of text in one symbol, about."""


def settled(
    task: AnyTask, config: TaskConfig, source: OpenedRun | None = None
) -> tuple[TaskConfig, dict[str, Any]]:
    """The configuration with a value for everything that is `auto`, and the values that were chosen, by dotted key.

    What a task's rule says nothing of in this case, as no part of the run reads it, is as where nothing is known.

    Args:
        task: has the rule for its data.
        config: as it was given.
        source: the run to start from: how its data are read and its model are taken, as its weights are.

    Raises:
        ConfigError: a value that was given and one that was chosen contradict each other.
        DataError: a file cannot be used.
    """
    unknown = automatic_keys(config)
    if not unknown:
        return config, {}
    chosen = {key: value for key, value in task.automatic(config).items() if key in unknown}
    if source is not None:
        kept = [key for key in unknown if key.partition(".")[0] in KEPT]
        chosen |= {key: value_at(source.config, key) for key in kept}
    return replaced(config, {**unknown, **chosen}), chosen


def describe_chosen(chosen: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The values that were chosen, a row for each section."""
    sections: dict[str, list[str]] = {}
    for key, value in chosen.items():
        section, _, name = key.partition(".")
        sections.setdefault(section, []).append(f"{name} {_shown(value)}")
    return [
        ("" if number else "chosen", f"{section}: {', '.join(values)}")
        for number, (section, values) in enumerate(sections.items())
    ]


def _shown(value: Any) -> str:
    """A value as it is given on the command line."""
    return "none" if value is None else str(value).replace("'", "")


@dataclass(frozen=True)
class Amount:
    """How much there is to learn, and how long.

    Attributes:
        symbols: of the training data.
        minutes: the limit in time, or None.
        passes: over the data, where the limit is one of epochs or updates.
    """

    symbols: float
    minutes: float | None
    passes: float

    @staticmethod
    def of(symbols: float, training: FitConfig, per_update: float) -> Amount:
        """The amount of a run.

        Args:
            symbols: of the training data.
            training: has the limits.
            per_update: symbols that an update reads, of a usual batch.
        """
        by_steps = math.inf if training.steps is None else training.steps * per_update / max(symbols, 1.0)
        by_epochs = math.inf if training.epochs is None else training.epochs
        return Amount(symbols, training.minutes, min(by_steps, by_epochs))

    def passes_at(self, speed: float) -> float:
        """Passes over the data within all limits, at a speed in symbols a second."""
        if self.minutes is None:
            return self.passes
        return min(self.passes, 60 * self.minutes * speed / max(self.symbols, 1.0))


def stepped(value: float, least: int, most: int, step: int = 32) -> int:
    """The multiple of `step` nearest to a number, within bounds."""
    return int(min(max(step * round(value / step), least), most))


def rising(passes: float, begins: float, doubled: float, most: float = 0.5) -> float:
    """A probability that is 0 up to so many passes over the data, and rises by so much with each doubling."""
    return round(min(most, max(0.0, doubled * math.log2(max(passes, begins) / begins))), 2)


def values_of_cell(name: str, minutes: float | None, passes: float) -> dict[str, Any]:
    """What depends on the cell: weight drop where it has hidden weights, and the biases that its class sets.

    These let a memory last from the start on; in a short run what is near is learned first. Of cells of one's own
    nothing is known here, and theirs stay as they are.
    """
    from recurra.cells import CELLS
    from recurra.cells.drawing import not_drawing

    values: dict[str, Any] = {}
    cell = CELLS.get(name)
    with not_drawing():
        program = None if cell is None else cell(1, 1).program
    if program is not None and program.products:
        values["model.regularisation.weight_drop"] = rising(passes, 6, 0.2)
    if cell is not None and cell.initial_bias and minutes is not None and minutes <= 10:
        values["model.initial_bias"] = dict.fromkeys(cell.initial_bias, 0.0)
    return values


def language_model_values(characters: int, config: LMConfig) -> dict[str, Any]:
    """The settings of a language model.

    Args:
        characters: of the training text.
        config: the kind of symbols, the limits, and the shape of the model.
    """
    kind = config.data.vocabulary
    symbols = characters / CHARACTERS[kind]
    amount = Amount.of(symbols, config.training, 32 * 32)
    hidden, embedding = _widths(symbols, amount.minutes, config)
    width = (max(hidden) if isinstance(hidden, list) else hidden) * config.model.depth**0.5
    passes = amount.passes_at(3e4 * (448 / width) ** 1.6)
    values: dict[str, Any] = {
        "model.hidden_size": hidden,
        "model.embedding_size": embedding,
        "model.dropout": rising(passes, 3, 0.15),
        **values_of_cell(config.model.cell, amount.minutes, passes),
        **_windows(symbols, config.data.layout == "lines"),
        "schedule.warmup_steps": 50,
        **_rate(config, min(0.01, 0.008 * (448 / width) ** 0.5)),
    }
    if kind == "subwords":
        values["data.subword_size"] = stepped(2000 * (characters / 1e6) ** 0.5, 200, 8000, 100)
    return values


def _widths(symbols: float, minutes: float | None, config: LMConfig) -> tuple[int | list[int], int]:
    """Of the layers and of the embedding, which is as wide as the last layer where they are tied."""
    model, millions = config.model, max(symbols, 1.0) / 1e6
    width = 384 * millions**0.2 if minutes is None else 360 * (minutes / 3) ** 0.3
    hidden = model.hidden_size
    if is_auto(hidden):
        tied = model.tied and not is_auto(model.embedding_size)
        hidden = model.embedding_size if tied else stepped(width / model.depth**0.5, 64, 1024)
    last = hidden[-1] if isinstance(hidden, list) else hidden
    if model.tied:
        return hidden, last
    return hidden, 64 if CHARACTERS[config.data.vocabulary] == 1 else min(last, 256)


def _windows(symbols: float, lines: bool) -> dict[str, int]:
    """Rows and steps, fewer of them where a text is too short for some updates in each pass."""
    steps = stepped(symbols / 4, 1, 64 if lines else 32, 1)
    rows = stepped(symbols / (16 * (8 if lines else steps)), 1, 32, 1)
    return {"training.batch_size": rows, "training.bptt": steps}


def _rate(config: LMConfig | TranslateConfig, rate: float) -> dict[str, float]:
    """The learning rate in three digits; that of plain gradient descent does not depend on the width."""
    return {} if config.optimiser.name == "sgd" else {"optimiser.learning_rate": float(f"{rate:.3g}")}


def kinds_of(sizes: PairSizes, config: PairConfig) -> tuple[PairVocabularyKind, PairVocabularyKind]:
    """The kind of vocabulary of each side: characters where lines are single words, else subwords, if installed.

    The default data spell in characters and speak in words. A joint vocabulary is of one kind.
    """
    usual: PairVocabularyKind = "subwords" if find_spec("sentencepiece") else "words"
    single = [words < 1.5 * max(sizes.pairs, 1) for words in sizes.words]
    source, target = config.source_vocabulary, config.target_vocabulary
    if config.joint:
        one: PairVocabularyKind = "characters" if all(single) else usual
        given = [kind for kind in (source, target) if kind is not None and not is_auto(kind)]
        return (given[0], given[0]) if given else (one, one)
    if config.embedded:
        return config.kinds
    return "characters" if single[0] else usual, "characters" if single[1] else usual


def translator_values(sizes: PairSizes, config: TranslateConfig) -> dict[str, Any]:
    """The settings of a translator.

    Args:
        sizes: of the training pairs.
        config: the limits, and the shape of the model.
    """
    model, recurrent = config.model, config.model.architecture == "recurrent"
    kinds = kinds_of(sizes, config.data)
    amount = Amount.of(sum(sizes.characters), config.training, 2000)
    share = max(sizes.pairs, 1) / 20_000
    times = 1.0 if amount.minutes is None else amount.minutes / 3
    width = 150 * times**0.4 * share ** (0.3 if amount.minutes is None else 0.15)
    hidden = model.hidden_size
    if is_auto(hidden):
        hidden = stepped(width / model.num_layers**0.5, 64, 512)
        hidden = hidden if recurrent or model.heads is None else model.heads * math.ceil(hidden / model.heads)
    width = hidden * model.num_layers**0.5
    values: dict[str, Any] = {
        "data.source_vocabulary": kinds[0],
        "data.target_vocabulary": kinds[1],
        "model.hidden_size": hidden,
        "model.dropout": rising(amount.passes_at(8e4 * (128 / width) ** 1.2), 1, 0.04, 0.3),
        "evaluation.sentences": 500,
        "training.batch_tokens": stepped(500 * times**0.3, 200, 3000, 100),
        "schedule.warmup_steps": 100 if recurrent else 400,
        **_rate(config, min(0.005, 0.004 * (128 / width) ** 0.5) * (1.0 if recurrent else 0.4)),
    }
    given = config.data.source_vocabulary, config.data.target_vocabulary
    if "subwords" in (chosen if is_auto(kind) else kind for kind, chosen in zip(given, kinds, strict=True)):
        values["data.subword_size"] = stepped(1500 * share**0.2, 200, 8000, 100)
    if recurrent:
        values["model.embedding_size"] = stepped(0.75 * hidden, 32, 512)
    return values
