"""`recurra bleu`: a file of outputs against files of references, whatever system wrote them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from recurra.cli.options import Options
from recurra.cli.streams import standard_input
from recurra.cli.tables import print_json, print_table
from recurra.data.file_formats import STANDARD_INPUT
from recurra.errors import ConfigError, DataError

if TYPE_CHECKING:
    from jsonargparse import Namespace

    from recurra.metrics.bleu import BleuScore, ChrfScore

DASH = "-"


def bleu(arguments: list[str]) -> None:
    """Print BLEU, what it is made of and its signature; with chrF, or sentence by sentence, if asked."""
    options = Options(
        "bleu",
        "Score outputs against references, line by line, by sacrebleu: BLEU with its precisions, brevity penalty "
        "and signature.",
        "HYP REF... [options]",
    )
    options.positional(
        "hyp", "the outputs, a sentence per line: a text file, plain or gzip; - is standard input"
    )
    options.positional("ref", "the references, in files of as many lines", several=True)
    options.group("how outputs are compared")
    options.add("tokenize", str, "13a", "sacrebleu's tokeniser: 13a, none, intl, char, zh and others", "NAME")
    options.flag("lowercase", "compare without case")
    options.flag("allow-tokenised", "the outputs are meant to be tokenised already: no note about it")
    options.add("data.encoding", str, "utf-8", "the files' text encoding, any of Python's", "NAME")
    options.group("what is printed")
    options.flag("chrf", "add chrF")
    options.flag("sentence", "a line per sentence, each scored by itself, in place of the whole")
    options.flag("json", "print JSON, one object per line")
    values = options.parse(arguments)
    hypotheses, references = _read(values.hyp, values.ref, values.data.encoding)
    if values.sentence:
        _print_sentences(hypotheses, references, values)
    else:
        _print_corpus(hypotheses, references, values)


def _read(hyp: str, refs: Sequence[str], encoding: str) -> tuple[list[str], list[list[str]]]:
    """The outputs, and for each of them its references."""
    if [hyp, *refs].count(DASH) > 1:
        raise ConfigError("standard input (-) can be read once only; give the other texts as files.")
    hypotheses = _lines(hyp, encoding)
    columns = [_lines(ref, encoding) for ref in refs]
    for ref, column in zip(refs, columns, strict=True):
        if len(column) != len(hypotheses):
            raise DataError(
                f"{_name(ref)}: expected {len(hypotheses)} lines, as many as {_name(hyp)} has; got "
                f"{len(column)}. Give the same sentences in the same order."
            )
    return hypotheses, [list(row) for row in zip(*columns, strict=True)]


def _lines(path: str, encoding: str) -> list[str]:
    """The lines of a file, empty ones too; what follows the last line end is no line if it is empty."""
    from recurra.data.files import read_to_end
    from recurra.data.line_ends import split_lines
    from recurra.data.text import check_encoding, decode_text, read_text

    if path == DASH:
        check_encoding(encoding)
        text = decode_text(read_to_end(standard_input().read, STANDARD_INPUT), encoding, STANDARD_INPUT)
    else:
        text = read_text(path, encoding)
    return split_lines(text)


def _name(path: str) -> str:
    from recurra.data.files import shown_path

    return STANDARD_INPUT if path == DASH else shown_path(path)


def _print_corpus(hypotheses: list[str], references: list[list[str]], values: Namespace) -> None:
    from recurra.metrics.bleu import corpus_bleu, corpus_chrf

    score = corpus_bleu(hypotheses, references, values.tokenize, values.lowercase, values.allow_tokenised)
    chrf = corpus_chrf(hypotheses, references, values.lowercase) if values.chrf else None
    if score.note:
        print(f"recurra: {score.note}", file=sys.stderr)
    if values.json:
        print_json(score.as_dict() | (chrf.as_dict() if chrf else {}))
        return
    rows: list[tuple[str, float, str]] = [("BLEU", score.value, "")]
    for n, (precision, match, total) in enumerate(
        zip(score.precisions, score.matches, score.totals, strict=True), start=1
    ):
        rows.append((f"precision of {n}-grams", precision, f"{match}/{total}"))
    lengths = f"{score.hypothesis_length} tokens against {score.reference_length}"
    rows.append(("brevity penalty", score.brevity_penalty, lengths))
    if chrf:
        rows.append(("chrF2", chrf.value, ""))
    print_table(("figure", "value", "from"), rows)
    _print_signatures(score, chrf)


def _print_sentences(hypotheses: list[str], references: list[list[str]], values: Namespace) -> None:
    from recurra.metrics.bleu import sentence_bleu, sentence_chrf

    scores = sentence_bleu(hypotheses, references, values.tokenize, values.lowercase)
    chrfs = sentence_chrf(hypotheses, references, values.lowercase) if values.chrf else None
    if values.json:
        for index, score in enumerate(scores):
            figures = score.as_dict() | (chrfs[index].as_dict() if chrfs else {})
            print_json({"line": index + 1, "text": hypotheses[index], **figures})
        return
    rows = []
    for index, score in enumerate(scores):
        shown = [score.value, *([chrfs[index].value] if chrfs else []), score.brevity_penalty]
        rows.append((index + 1, *shown, score.counts, hypotheses[index]))
    chrf_column = ("chrF2",) if values.chrf else ()
    print_table(("line", "BLEU", *chrf_column, "brevity penalty", "matches", "text"), rows)
    _print_signatures(scores[0], chrfs[0] if chrfs else None)


def _print_signatures(score: BleuScore, chrf: ChrfScore | None) -> None:
    print(f"BLEU by sacrebleu: {score.sacrebleu}")
    if chrf:
        print(f"chrF2 by sacrebleu: {chrf.sacrebleu}")
