"""LMRun: a trained language model in use. It samples, scores and evaluates.

B batch, T time, V vocabulary.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recurra.data.text import TextConfig
from recurra.data.vocabulary import Vocabulary
from recurra.decode.sampling import SamplingConfig, sample
from recurra.errors import ConfigError
from recurra.metrics.perplexity import Score
from recurra.models.language_model import LanguageModel
from recurra.tasks.run import Run
from recurra.training.loop import Result
from recurra.training.run_directory import RunDirectory


@dataclass(frozen=True)
class LineScore:
    """The score of one line, from the zero state, its line end included.

    Attributes:
        text: the line, without its line end.
        tokens: a printable label per token, the line end last.
        token_log_probs: ln P of each token given those before it.
        unknown: how many tokens the vocabulary does not know; each is scored as UNK.
    """

    text: str
    tokens: list[str]
    token_log_probs: list[float]
    unknown: int

    @property
    def log_prob(self) -> float:
        """ln P of the line."""
        return math.fsum(self.token_log_probs)

    @property
    def perplexity(self) -> float:
        """exp of the mean of −ln P per token; infinite where that is beyond a float."""
        return Score(-self.log_prob, len(self.tokens)).perplexity


class LMRun(Run[LanguageModel]):
    """A language model's run, opened by `recurra.load` or returned by `recurra.train`.

    Attributes:
        data: how its text is read.
        vocabulary: of the run.
        model, path, config, device, result: as in every `Run`.
    """

    task = "lm"

    def __init__(
        self,
        directory: RunDirectory,
        data: TextConfig,
        model: LanguageModel,
        vocabulary: Vocabulary,
        evaluator: Callable[[Sequence[str] | None], Score],
        result: Result | None = None,
    ) -> None:
        super().__init__(directory, model, result)
        self.data = data
        self.vocabulary = vocabulary
        self._evaluator = evaluator

    def evaluate(self, test: Sequence[str] | None = None) -> Score:
        """The score of the given files, or else of the configured test files, or else of the validation split.

        Every token counts once; a continuous text is one stream from the zero state.

        Raises:
            DataError: a file cannot be used.
        """
        return self._evaluator(test)

    def sample(
        self,
        prompt: str = "",
        n: int = 1,
        max_length: int = 200,
        temperature: float = 1.0,
        top_k: int | None = None,
        top_p: float | None = None,
        seed: int | None = None,
        stop_at_line_end: bool | None = None,
        weights: str | None = None,
    ) -> list[str]:
        """Texts that go on from a prompt, the prompt included.

        Args:
            prompt: read first, from the zero state; may be empty.
            n: how many.
            max_length: the most tokens drawn.
            temperature, top_k, top_p, seed: as in `SamplingConfig`.
            stop_at_line_end: None: a model of separate lines stops there, one of continuous text runs on.
            weights: of the recurrent layers: None as they are, or "bfloat16" or "int8", which are faster to read.

        Raises:
            ConfigError: a value is out of range.
        """
        settings = SamplingConfig(max_length, temperature, top_k, top_p, seed)
        arguments = self.sampling_arguments(prompt, stop_at_line_end)
        drawn = sample(self.model.stepper(1, weights), settings, n, **arguments)
        return [self.text_of(arguments["prompt"], item.ids) for item in drawn]

    def sampling_arguments(self, prompt: str, stop_at_line_end: bool | None = None) -> dict[str, Any]:
        """The keyword arguments that `decode.sampling` takes for this model and prompt.

        Raises:
            ConfigError: a model of note sets, which has no line ends, is to stop at one.
        """
        if stop_at_line_end and self.model.note_sets:
            raise ConfigError("stop_at_line_end: note sets have no line ends; limit max_length instead.")
        if stop_at_line_end is None:
            stop_at_line_end = self.data.layout == "lines" and not self.model.note_sets
        unknown = self.vocabulary.unknown
        return {
            "prompt": torch.from_numpy(self.vocabulary.encode_line(prompt).astype(np.int64)).to(self.device),
            "stop": self.vocabulary.line_end if stop_at_line_end else None,
            "forbid": () if unknown is None else (unknown,),
            "note_sets": self.model.note_sets,
        }

    def text_of(self, prompt: Tensor, drawn: Tensor) -> str:
        """The text of a prompt's symbols and those drawn after it."""
        return self.vocabulary.decode(torch.cat([prompt.cpu(), drawn.cpu()]).numpy())

    def score(self, lines: Iterable[str], batch_size: int = 1) -> Iterator[LineScore]:
        """Score lines one by one as they come, each from the zero state.

        Args:
            lines: without their line ends.
            batch_size: how many lines are read ahead and scored together; it changes speed, not scores.

        Raises:
            ConfigError: the model is one of note sets.
        """
        if self.model.note_sets:
            raise ConfigError(
                "score: a model of note sets scores no text; use evaluate with a JSON file of notes."
            )
        lines = iter(lines)
        while group := list(itertools.islice(lines, batch_size)):
            yield from self._score_group(group)

    @torch.no_grad()
    def _score_group(self, lines: Sequence[str]) -> Iterator[LineScore]:
        end = self.vocabulary.line_end
        assert end is not None  # only note sets have none
        rows = [np.append(self.vocabulary.encode_line(line), end).astype(np.int64) for line in lines]
        lengths = torch.tensor([len(row) for row in rows], device="cpu")
        targets = pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)  # [B, T]
        inputs = torch.cat([torch.full((len(rows), 1), -1, device="cpu"), targets[:, :-1]], dim=1).to(
            self.device
        )
        self.model.eval()
        hidden, _ = self.model(inputs, lengths=lengths)
        for line, row, features in zip(lines, rows, hidden, strict=True):
            log_probs = self.model.log_probs(features[: len(row)]).double()  # [T, V]
            chosen = log_probs.gather(1, torch.from_numpy(row).to(self.device)[:, None]).squeeze(1)
            unknown = self.vocabulary.unknown
            yield LineScore(
                text=line,
                tokens=[self.vocabulary.symbols[index] for index in row],
                token_log_probs=chosen.tolist(),
                unknown=0 if unknown is None else int((row == unknown).sum()),
            )
