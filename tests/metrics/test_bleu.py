from __future__ import annotations

import math
import random
from collections import Counter

import pytest

from recurra.errors import ConfigError, DataError
from recurra.metrics.bleu import (
    BleuScore,
    check_tokenizer,
    corpus_bleu,
    corpus_chrf,
    sentence_bleu,
    sentence_chrf,
)

WORDS = ["the", "cat", "is", "on", "a", "mat", "there", "dog", "sat"]


def ngrams(words: list[str], n: int) -> Counter:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def bleu_by_definition(hypotheses: list[str], references: list[list[str]]) -> float:
    """Papineni et al. 2002, equations 1 to 3, without smoothing: every precision must be above 0."""
    hyps = [line.split() for line in hypotheses]
    refs = [[line.split() for line in listed] for listed in references]
    logs = []
    for n in range(1, 5):
        best = [
            Counter({g: max(ngrams(r, n)[g] for r in listed) for g in ngrams(h, n)})
            for h, listed in zip(hyps, refs, strict=True)
        ]
        clipped = sum((ngrams(h, n) & b).total() for h, b in zip(hyps, best, strict=True))
        logs.append(math.log(clipped / sum(ngrams(h, n).total() for h in hyps)))
    nearest = [
        min((abs(len(r) - len(h)), len(r)) for r in listed)[1] for h, listed in zip(hyps, refs, strict=True)
    ]
    penalty = min(0.0, 1 - sum(nearest) / sum(map(len, hyps)))
    return 100 * math.exp(penalty + sum(logs) / 4)


def random_text(generator: random.Random, sentences: int, most: int) -> tuple[list[str], list[list[str]]]:
    """Outputs that share n-grams with their references, of which the sentences have 1 to `most`."""
    hypotheses, references = [], []
    for _ in range(sentences):
        line = generator.choices(WORDS, k=generator.randint(0, 14))
        listed = []
        for _ in range(generator.randint(1, most)):
            at = generator.randint(0, len(line))
            listed.append(" ".join(line[:at] + generator.choices(WORDS, k=generator.randint(0, 4))))
        hypotheses.append(" ".join(line))
        references.append(listed)
    return hypotheses, references


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("most", [1, 4])
def test_equals_the_definition_on_random_text(seed, most):
    """With one reference each, and with a different number of them per sentence; some sentences are empty."""
    hypotheses, references = random_text(random.Random(seed), 40, most)
    score = corpus_bleu(hypotheses, references, tokenize="none")
    assert score.value == pytest.approx(bleu_by_definition(hypotheses, references), rel=1e-12)
    assert score.hypothesis_length == sum(len(line.split()) for line in hypotheses)
    assert ("nrefs:1|" if most == 1 else "nrefs:var|") in score.signature
    shuffled = [list(reversed(listed)) for listed in references]
    assert corpus_bleu(hypotheses, shuffled, tokenize="none") == score


def test_a_score_tells_what_it_is_made_of():
    score = corpus_bleu(["a cat sat on a mat", "dog"], [["a cat sat on the mat today"], ["a dog", "dogs"]])
    assert (score.matches, score.totals) == ((6, 3, 2, 1), (7, 5, 4, 3))
    assert score.counts == "6/7 3/5 2/4 1/3"
    assert score.precisions == pytest.approx((600 / 7, 60, 50, 100 / 3))
    assert (score.hypothesis_length, score.reference_length) == (7, 8)
    assert score.brevity_penalty == pytest.approx(math.exp(1 - 8 / 7))
    geometric = math.exp(sum(math.log(precision) for precision in score.precisions) / 4)
    assert score.value == pytest.approx(score.brevity_penalty * geometric)
    assert score.sacrebleu.startswith("nrefs:var|case:mixed|eff:no|tok:13a|smooth:exp|version:")
    assert score.sacrebleu in score.signature
    assert "85.7/60.0/50.0/33.3 (6/7 3/5 2/4 1/3)" in score.signature
    figures = score.as_dict()
    assert figures["bleu"] == score.value
    assert figures["signature"] == score.sacrebleu
    assert figures["precisions"] == list(score.precisions)


def test_a_missing_reference_is_no_empty_reference():
    """An empty one would be nearer in length to an empty output, and would lift the brevity penalty."""
    hypotheses = ["", "a cat sat on a mat"]
    missing = corpus_bleu(hypotheses, [["a dog"], ["a cat sat on a mat", "dog"]])
    empty = corpus_bleu(hypotheses, [["a dog", ""], ["a cat sat on a mat", "dog"]])
    assert (missing.reference_length, empty.reference_length) == (8, 6)


def test_tokenizer_and_case():
    hypotheses, references = ["It sat, there on a MAT."], [["it sat , there on a mat ."]]
    assert corpus_bleu(hypotheses, references, lowercase=True).value == pytest.approx(100)
    assert corpus_bleu(hypotheses, references).matches[0] == 6
    score = corpus_bleu(hypotheses, references, tokenize="none", lowercase=True)
    assert (score.matches[0], score.totals[0]) == (4, 6)
    assert "tok:none" in score.signature
    assert "case:lc" in score.signature
    assert corpus_bleu(["猫坐"], [["猫坐在"]], tokenize="char").counts == "2/2 1/1 0/0 0/0"


def test_empty_outputs_score_nothing():
    score = corpus_bleu(["", ""], [["a dog"], [""]])
    assert (score.value, score.brevity_penalty, score.hypothesis_length) == (0, 0, 0)
    assert sentence_bleu([""], [["a dog"]])[0].value == 0
    assert corpus_chrf([""], [["a dog"]]).value == 0


def test_sentences_have_effective_order():
    """A sentence of two words that are right has no trigram to get wrong."""
    short, long = sentence_bleu(["a dog", "a dog sat on the mat"], [["a dog"], ["x", "a dog sat on a mat"]])
    assert short.value == pytest.approx(100)
    assert "eff:yes" in short.signature
    assert "nrefs:2" in long.signature
    assert long == sentence_bleu(["a dog sat on the mat"], [["x", "a dog sat on a mat"]])[0]
    assert isinstance(long, BleuScore)
    assert corpus_bleu(["a dog"], [["a dog"]]).value < 100


def test_chrf_is_the_f_score_of_character_ngrams():
    """One pair by hand, recall counting twice (beta 2), white space left out: n to 4, beyond which none is."""
    hypothesis, reference = "a bc d", "abcx"
    precisions, recalls = [], []
    for n in range(1, 5):
        h, r = (ngrams(list(text.replace(" ", "")), n) for text in (hypothesis, reference))
        precisions.append((h & r).total() / h.total())
        recalls.append((h & r).total() / r.total())
    precision, recall = sum(precisions) / 4, sum(recalls) / 4
    expected = 100 * 5 * precision * recall / (4 * precision + recall)
    score = corpus_chrf([hypothesis], [[reference]])
    assert score.value == pytest.approx(expected)
    assert "nc:6" in score.signature
    assert score.sacrebleu in score.signature
    assert score.as_dict() == {"chrf": score.value, "chrf_signature": score.sacrebleu}


def test_chrf_takes_the_best_of_any_number_of_references():
    hypotheses, references = ["a dog sat", "The mat"], [["x", "a dog sat"], ["the mat"]]
    assert corpus_chrf(hypotheses, references, lowercase=True).value == pytest.approx(100)
    assert "nrefs:var" in corpus_chrf(hypotheses, references).signature
    first, second = sentence_chrf(hypotheses, references)
    assert first.value == pytest.approx(100)
    assert 0 < second.value < 100
    assert "nrefs:1" in second.signature


def test_tokenised_outputs_are_noted_in_one_line_unless_meant(caplog):
    lines = ["a dog sat ."] * 100
    note = corpus_bleu(lines, [[line] for line in lines]).note
    assert note.startswith("100 hypotheses end in a separate full stop")
    assert "\n" not in note
    assert corpus_bleu(lines, [[line] for line in lines], allow_tokenised=True).note is None
    assert corpus_bleu(lines[1:], [[line] for line in lines[1:]]).note is None
    sentence_bleu(lines, [[line] for line in lines])
    assert not caplog.records


@pytest.mark.parametrize(
    ("hypotheses", "references", "message"),
    [
        ([], [], "hypotheses: expected a list of at least one to score, got none"),
        ("a dog", ["a"] * 5, "hypotheses: expected a list of at least one to score, got a text"),
        (["a", "b"], [["a"]], r"references: .* each of the 2 hypotheses, got 1\."),
        (["a", "b"], [["a"], []], r"at least one for hypothesis 2, got none\."),
        (["a", "b"], [["a"], "b"], "at least one for hypothesis 2, got the text 'b'; write it as a list"),
    ],
)
@pytest.mark.parametrize("score", [corpus_bleu, sentence_bleu, corpus_chrf, sentence_chrf])
def test_what_cannot_be_scored_is_refused(score, hypotheses, references, message):
    with pytest.raises(DataError, match=message):
        score(hypotheses, references)


def test_tokenizers_that_are_not_known():
    with pytest.raises(
        ConfigError, match=r"tokenize: expected one of 13a, .*; got 'itnl'\. Did you mean 'intl'"
    ):
        check_tokenizer("itnl")
    with pytest.raises(ConfigError, match="Did you mean 'char'"):
        corpus_bleu(["a"], [["a"]], tokenize="chars")


def test_a_tokenizer_whose_package_is_missing_is_named(monkeypatch):
    monkeypatch.setattr("sacrebleu.tokenizers.tokenizer_ja_mecab.MeCab", None)
    with pytest.raises(
        ConfigError, match=r"tokenize: ja-mecab is not available \(.*sacrebleu\[ja\]\)"
    ) as error:
        corpus_bleu(["a"], [["a"]], tokenize="ja-mecab")
    assert "\n" not in str(error.value)
