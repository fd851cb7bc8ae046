"""BLEU (Papineni et al. 2002) and chrF (Popović 2015), computed by sacrebleu (Post 2018), with their signatures.

All scores are percentages, 0 to 100. A hypothesis has one or more references, and need not have as many as
the next one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from recurra.errors import ConfigError, nearest
from recurra.metrics.references import check_references
from recurra.metrics.score import Score

if TYPE_CHECKING:
    from sacrebleu.metrics.base import Metric
    from sacrebleu.metrics.bleu import BLEU

TOKENISED_LINES = 100
"""From how many hypotheses on that end in a separate full stop sacrebleu takes them to be tokenised already."""


@dataclass(frozen=True, kw_only=True)
class BleuScore(Score):
    """BLEU of one text: brevity penalty times the geometric mean of the n-gram precisions, n from 1 to 4.

    Attributes:
        value: BLEU, 0 to 100.
        matches: for each n, how many of the output's n-grams are in a reference, each at most as often as in
            the reference that has it most often (clipped).
        totals: for each n, how many n-grams the output has.
        precisions: for each n, 100 matches / totals; without a match, what smoothing puts in its place.
        brevity_penalty: exp(1 - reference_length / hypothesis_length) for an output that is the shorter one,
            else 1.
        hypothesis_length: tokens of the output.
        reference_length: tokens of the references, for each sentence of the one nearest to it in length
            (of two as near, the shorter).
        sacrebleu: sacrebleu's signature, which says how all this was computed.
        note: a warning about the score, in one line, or None.
    """

    matches: tuple[int, ...]
    totals: tuple[int, ...]
    precisions: tuple[float, ...]
    brevity_penalty: float
    hypothesis_length: int
    reference_length: int
    sacrebleu: str
    note: str | None = None

    @property
    def counts(self) -> str:
        """Matches and totals, such as `5/7 4/6 2/5 1/4`."""
        return _fractions(self.matches, self.totals)

    def details(self) -> dict[str, Any]:
        """Precisions, their counts, and the lengths."""
        return {
            "precisions": list(self.precisions),
            "matches": list(self.matches),
            "totals": list(self.totals),
            "brevity_penalty": self.brevity_penalty,
            "hypothesis_length": self.hypothesis_length,
            "reference_length": self.reference_length,
        }

    def as_dict(self) -> dict[str, Any]:
        """The figure, its details, and as `signature` that of sacrebleu."""
        return {self.name: self.value, **self.details(), "signature": self.sacrebleu}


@dataclass(frozen=True, kw_only=True)
class ChrfScore(Score):
    """chrF2 of one text: the F-score, recall counting twice as much, of character n-grams, n from 1 to 6.

    White space is no character. Of several references, each sentence is scored against the best one.

    Attributes:
        value: chrF2, 0 to 100.
        sacrebleu: sacrebleu's signature, which says how it was computed.
    """

    sacrebleu: str

    def as_dict(self) -> dict[str, Any]:
        """The figure and sacrebleu's signature, under keys that BLEU does not have."""
        return {self.name: self.value, "chrf_signature": self.sacrebleu}


def corpus_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
    allow_tokenised: bool = False,
) -> BleuScore:
    """BLEU of a whole text, its n-grams counted together; sacrebleu's default smoothing (exp).

    Args:
        hypotheses: the outputs, a sentence each.
        references: for each of them its references, one or more, in any order.
        tokenize: sacrebleu's name of the tokeniser: `13a` as in WMT's own scorer, `none` for text that is
            tokenised, `intl`, `char`, `zh` and others; some need a package or fetch a model.
        lowercase: compare without case.
        allow_tokenised: the output is tokenised on purpose; make no note of it.

    Raises:
        ConfigError: the tokeniser is unknown, or not available.
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    check_references(hypotheses, references)
    metric = _metric(tokenize, lowercase, effective_order=False)
    result = metric.corpus_score(list(hypotheses), _streams(references))
    return _score(metric, result, None if allow_tokenised else _tokenised(hypotheses))


def sentence_bleu(
    hypotheses: Sequence[str],
    references: Sequence[Sequence[str]],
    tokenize: str = "13a",
    lowercase: bool = False,
) -> list[BleuScore]:
    """BLEU of each sentence by itself, with effective order: n goes only as far as the sentence has n-grams.

    Arguments and errors are those of `corpus_bleu`.
    """
    check_references(hypotheses, references)
    metric = _metric(tokenize, lowercase, effective_order=True)
    return [
        _score(metric, metric.sentence_score(hypothesis, list(listed)), None)
        for hypothesis, listed in zip(hypotheses, references, strict=True)
    ]


def corpus_chrf(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool = False
) -> ChrfScore:
    """chrF2 of a whole text, its n-grams counted together.

    Args:
        hypotheses: the outputs, a sentence each.
        references: for each of them its references, one or more, in any order.
        lowercase: compare without case.

    Raises:
        DataError: there is nothing to score, or a hypothesis has no references.
    """
    from sacrebleu.metrics.chrf import CHRF

    check_references(hypotheses, references)
    metric = CHRF(lowercase=lowercase)
    return _chrf(metric.corpus_score(list(hypotheses), _streams(references)).score, metric)


def sentence_chrf(
    hypotheses: Sequence[str], references: Sequence[Sequence[str]], lowercase: bool = False
) -> list[ChrfScore]:
    """chrF2 of each sentence by itself; arguments and errors are those of `corpus_chrf`."""
    from sacrebleu.metrics.chrf import CHRF

    check_references(hypotheses, references)
    metric = CHRF(lowercase=lowercase)
    scores = []
    for hypothesis, listed in zip(hypotheses, references, strict=True):
        score = metric.sentence_score(hypothesis, list(listed)).score
        scores.append(_chrf(score, metric))
    return scores


def check_tokenizer(tokenize: str) -> None:
    """Refuse a name that sacrebleu does not know.

    Raises:
        ConfigError: with the nearest one that it knows.
    """
    from sacrebleu.metrics.bleu import BLEU

    if tokenize not in BLEU.TOKENIZERS:
        known = sorted(BLEU.TOKENIZERS)
        raise ConfigError(
            f"tokenize: expected one of {', '.join(known)}; got {tokenize!r}.{nearest(str(tokenize), known)}"
        )


def _metric(tokenize: str, lowercase: bool, effective_order: bool) -> BLEU:
    from sacrebleu.metrics.bleu import BLEU

    check_tokenizer(tokenize)
    try:
        # Forced: sacrebleu says in three lines of its log what `BleuScore.note` says in one.
        return BLEU(lowercase, force=True, tokenize=tokenize, effective_order=effective_order)
    except (ImportError, RuntimeError, OSError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise ConfigError(f"tokenize: {tokenize} is not available ({reason}).") from error


def _score(metric: BLEU, result: Any, note: str | None) -> BleuScore:
    sacrebleu = _signature(metric)
    precisions = "/".join(f"{precision:.1f}" for precision in result.precisions)
    counts = _fractions(result.counts, result.totals)
    return BleuScore(
        "bleu",
        result.score,
        True,
        f"BLEU by sacrebleu, {sacrebleu}; precisions {precisions} ({counts}), brevity penalty {result.bp:.4f}, "
        f"{result.sys_len} tokens against {result.ref_len}",
        matches=tuple(result.counts),
        totals=tuple(result.totals),
        precisions=tuple(result.precisions),
        brevity_penalty=result.bp,
        hypothesis_length=result.sys_len,
        reference_length=result.ref_len,
        sacrebleu=sacrebleu,
        note=note,
    )


def _chrf(value: float, metric: Metric) -> ChrfScore:
    sacrebleu = _signature(metric)
    return ChrfScore("chrf", value, True, f"chrF2 by sacrebleu, {sacrebleu}", sacrebleu=sacrebleu)


def _fractions(matches: Sequence[int], totals: Sequence[int]) -> str:
    return " ".join(f"{match}/{total}" for match, total in zip(matches, totals, strict=True))


def _signature(metric: Metric) -> str:
    return str(metric.get_signature())


def _streams(references: Sequence[Sequence[str]]) -> list[list[Any]]:
    """The references as sacrebleu takes them: all first ones, all second ones, ...; None where there is none."""
    most = max(map(len, references))
    return [
        [listed[index] if index < len(listed) else None for listed in references] for index in range(most)
    ]


def _tokenised(hypotheses: Sequence[str]) -> str | None:
    lines = sum(hypothesis.endswith(" .") for hypothesis in hypotheses)
    if lines < TOKENISED_LINES:
        return None
    return (
        f"{lines} hypotheses end in a separate full stop; BLEU of tokenised text is not comparable with "
        "published scores. Detokenise it, or pass allow_tokenised (--allow-tokenised) if that is intended."
    )
