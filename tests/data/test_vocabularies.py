from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from recurra.data.labels import Labels
from recurra.data.notes import Notes
from recurra.data.vocabularies import KINDS, Vocabularies, build_vocabulary, load_vocabulary
from recurra.data.vocabulary import Bytes, Characters, Vocabulary, Words
from recurra.errors import ConfigError, DataError, RunError

WORDS = Words(["Haus", "klein", "das"])
CHARACTERS = Characters(" aehi", "eos")
TAGS = Labels(["NOUN", "VERB"])


def test_they_are_a_mapping_that_does_not_change():
    by_name: dict[str, Vocabulary] = {"source": WORDS, "target": CHARACTERS}
    vocabularies = Vocabularies(by_name)
    by_name["tags"] = TAGS
    assert list(vocabularies.items()) == [("source", WORDS), ("target", CHARACTERS)]
    assert len(vocabularies) == 2
    assert "source" in vocabularies
    assert "tags" not in vocabularies
    assert not hasattr(vocabularies, "__setitem__")
    with pytest.raises(KeyError):
        vocabularies["tags"]


def test_two_names_may_share_one():
    vocabularies = Vocabularies({"source": WORDS, "target": WORDS, "tags": TAGS})
    assert vocabularies.joint("source", "target")
    assert not vocabularies.joint("source", "tags")
    apart = Vocabularies({"source": WORDS, "target": Words(WORDS.symbols[2:])})
    assert not apart.joint("source", "target")


@pytest.mark.parametrize("names", [[], ["a+b"], ["../a"], [""], ["Text"], ["text\n"]])
def test_a_name_that_cannot_be_a_folder_is_refused(names):
    with pytest.raises(ConfigError, match="vocabularies: expected at least one, named by") as error:
        Vocabularies(dict.fromkeys(names, WORDS))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("by_name", "folders"),
    [
        ({"text": WORDS}, ["text"]),
        ({"text": Bytes()}, ["text"]),
        ({"target": CHARACTERS, "source": WORDS}, ["source", "target"]),
        ({"target": WORDS, "source": WORDS}, ["source+target"]),
        ({"words": WORDS, "tags": TAGS, "characters": CHARACTERS}, ["characters", "tags", "words"]),
        ({"z": TAGS, "a": TAGS, "m": WORDS}, ["a+z", "m"]),
    ],
)
def test_saved_and_loaded_they_are_the_same(by_name, folders, tmp_path):
    vocabularies = Vocabularies(by_name)
    vocabularies.save(tmp_path)
    vocabularies.save(tmp_path)  # over what is there
    files = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert files == [f"vocabularies/{folder}/vocabulary.json" for folder in folders]
    loaded = Vocabularies.load(tmp_path)
    assert loaded.keys() == vocabularies.keys()
    assert loaded.digest == vocabularies.digest
    for name, vocabulary in vocabularies.items():
        assert type(loaded[name]) is type(vocabulary)
        assert loaded[name].symbols == vocabulary.symbols
    for a in by_name:
        for b in by_name:
            assert loaded.joint(a, b) == vocabularies.joint(a, b)


# --- what runs of format 1 hold -------------------------------------------------------------------

SOURCE_LINES, TARGET_LINES = "ein kleines Haus\ndas Haus ist klein\n", "a small house\nthe house is small\n"


def put(folder: Path, vocabulary: Vocabulary) -> None:
    folder.mkdir(exist_ok=True)
    vocabulary.save(folder)


def test_the_layouts_of_format_1_are_read(tmp_path):
    lm, apart, joint = (tmp_path / name for name in ("lm", "apart", "joint"))
    for folder in (lm, apart, joint):
        folder.mkdir()
    put(lm, Characters("ab"))
    put(apart / "source_vocabulary", WORDS)
    put(apart / "target_vocabulary", CHARACTERS)
    put(joint / "joint_vocabulary", WORDS)
    assert list(Vocabularies.load(lm)) == ["text"]
    assert Vocabularies.load(lm)["text"].symbols == Characters("ab").symbols
    loaded = Vocabularies.load(apart)
    assert (loaded["source"].kind, loaded["target"].kind) == ("words", "characters")
    loaded = Vocabularies.load(joint)
    assert loaded.joint("source", "target")
    assert loaded["source"].symbols == WORDS.symbols


def test_digests_are_those_of_runs_that_exist(tmp_path):
    """Resuming compares them with what a run has recorded."""
    text = "the cat <unk> the mat\n\n a  cat\tthe end"
    source = build_vocabulary("words", SOURCE_LINES)
    target = build_vocabulary("characters", TARGET_LINES, line_end="eos")
    both = build_vocabulary("words", SOURCE_LINES + TARGET_LINES)
    recorded = {
        "7c293f5d48c3bb7a9981a554c26013d57630cfd0dc5587cc11941d1e52f75a27": {"text": Words.build(text)},
        "68edc2aad77ee42acd5e19c2adb54fac3b300947fb6ba8c534be10b88670db80": {
            "text": Characters.build("aé\t☃\n\ue000")
        },
        "b553a0e5c9715ca74d72dcbed54604d2d9989d68e24758a106cdf71da36e7a71": {
            "text": Characters.build("ab", "eos")
        },
        "43d07b51ed7bbf3e2102e870eb582c0b0d087763c8a8a679e09a0c2ea633680d": {"text": Bytes()},
        "85431a2044488b79383d3390fe209cc0817aeb76937ed6985077cf4d921d00e5": {"text": Bytes("eos")},
        "519b3442df3e6a35bb7a8369c28e7b877577833c6ab430b4e2a39b03d45b2197": {"text": Notes(30, 41)},
        "f1a27bf22dd0d9c7f097bc283e1da3fc9e12e77eee288ffdd27109ccf3f9c81a": {
            "target": target,
            "source": source,
        },
        "dc1932006991c07bba47addce35d610963f61721e1fef43d3bc4dc8908392edb": {"target": both, "source": both},
    }
    for number, (digest, by_name) in enumerate(recorded.items()):
        assert Vocabularies(by_name).digest == digest
        folder = tmp_path / str(number)
        folder.mkdir()
        Vocabularies(by_name).save(folder)
        assert Vocabularies.load(folder).digest == digest


# --- what is damaged ------------------------------------------------------------------------------


def test_a_missing_or_damaged_folder_is_refused(tmp_path):
    with pytest.raises(RunError, match=r"vocabularies: no such folder; expected the vocabularies of a run"):
        Vocabularies.load(tmp_path)
    Vocabularies({"source": WORDS, "target": Words(["a"])}).save(tmp_path)
    file = tmp_path / "vocabularies" / "target" / "vocabulary.json"
    content = json.loads(file.read_text())
    file.write_text(json.dumps(content | {"words": ["a", "a"]}))
    with pytest.raises(
        RunError, match=r"target.vocabulary\.json: damaged; expected every symbol of `words` once"
    ):
        Vocabularies.load(tmp_path)
    file.write_text("[" * 100_000)
    with pytest.raises(RunError, match="damaged"):
        Vocabularies.load(tmp_path)
    file.unlink()
    with pytest.raises(RunError, match=r"target.vocabulary\.json: no such file; expected a vocabulary"):
        Vocabularies.load(tmp_path)


@pytest.mark.parametrize("name", ["Target", "source+target", "a+a", "+a", "a b"])
def test_a_folder_of_another_name_is_refused(name, tmp_path):
    Vocabularies({"source": WORDS}).save(tmp_path)
    put(tmp_path / "vocabularies" / name, WORDS)
    with pytest.raises(RunError, match="foreign; expected names joined by"):
        Vocabularies.load(tmp_path)


def test_a_folder_of_nothing_is_refused(tmp_path):
    (tmp_path / "vocabularies").mkdir()
    (tmp_path / "vocabularies" / "notes.txt").write_text("mine")
    with pytest.raises(
        RunError, match="vocabularies: damaged; expected a folder for each vocabulary, got none"
    ):
        Vocabularies.load(tmp_path)


def test_half_of_format_1_is_refused(tmp_path):
    put(tmp_path / "source_vocabulary", WORDS)
    with pytest.raises(RunError, match=r"target_vocabulary.*no such file; expected a vocabulary"):
        Vocabularies.load(tmp_path)


@pytest.mark.parametrize("foreign", [Notes(), Characters("ab", "newline"), TAGS, Bytes("eos")])
def test_a_vocabulary_that_cannot_end_a_row_is_refused(foreign: Vocabulary, tmp_path):
    new, old = tmp_path / "new", tmp_path / "old"
    new.mkdir()
    Vocabularies({"source": WORDS, "target": foreign}).save(new)
    with pytest.raises(RunError, match=r"target: foreign; expected words, characters or subwords"):
        Vocabularies.load(new)
    old.mkdir()
    put(old / "source_vocabulary", WORDS)
    put(old / "target_vocabulary", foreign)
    with pytest.raises(RunError, match=r"target_vocabulary: foreign; expected words, characters or subwords"):
        Vocabularies.load(old)


# --- building -------------------------------------------------------------------------------------


def test_every_kind_is_registered_under_its_name():
    assert list(KINDS) == ["words", "characters", "bytes", "subwords", "notes", "labels"]
    assert all(vocabulary.kind == kind for kind, vocabulary in KINDS.items())


def test_one_builder_for_all_kinds_of_text(tmp_path):
    text = "b a\na c\n" * 4
    assert build_vocabulary("words", text).symbols == ["<eos>", "<unk>", "a", "b", "c"]
    assert build_vocabulary("words", text, minimum_count=5).symbols[2:] == ["a"]
    assert build_vocabulary("words", text, maximum_size=4).symbols[2:] == ["a", "b"]
    assert build_vocabulary("characters", text).symbols[0] == "\\n"
    lines = build_vocabulary("characters", text, line_end="eos", maximum_size=4)
    assert lines.symbols == ["<eos>", "<unk>", " ", "a"]
    assert len(build_vocabulary("bytes", b"\xff\xfe")) == 256
    assert len(build_vocabulary("bytes", b"\xff\xfe", line_end="eos")) == 257
    with pytest.raises(ConfigError, match="kind: expected words, characters, bytes or subwords, got 'notes'"):
        build_vocabulary("notes", text)
    with pytest.raises(DataError, match="would hold only"):
        build_vocabulary("words", text, minimum_count=99)
    lines.save(tmp_path)
    assert np.array_equal(load_vocabulary(tmp_path).encode(text), lines.encode(text))


def test_the_builder_passes_the_number_of_subwords_on():
    pytest.importorskip("sentencepiece", reason="the extra [subword] is not installed")
    text = "the cat sat on the mat\nthe dog sat on the log\n" * 10
    assert build_vocabulary("subwords", text, subword_size=18).kind == "subwords"
    with pytest.raises(ConfigError, match=r"data\.subword_size: 6 does not suit this text"):
        build_vocabulary("subwords", text, subword_size=6)
