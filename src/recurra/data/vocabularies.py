"""Vocabularies: all that a model must be given of the data, by name; how they are built, saved and loaded.

A run keeps them in `vocabularies/`, a folder for each: `vocabularies/source+target/vocabulary.json` is one
vocabulary that two names share.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from pathlib import Path

from recurra.data.labels import Labels
from recurra.data.notes import Notes
from recurra.data.subwords import Subwords
from recurra.data.vocabulary import (
    EOS,
    FILE_NAME,
    FORMAT,
    Bytes,
    Characters,
    LineEnd,
    Vocabulary,
    Words,
    text_of,
)
from recurra.durable import flush_folder, load_json, read_plain
from recurra.errors import ConfigError, RunError, quoted

KINDS: dict[str, type[Vocabulary]] = {
    vocabulary.kind: vocabulary for vocabulary in (Words, Characters, Bytes, Subwords, Notes, Labels)
}
"""The name of a kind in `vocabulary.json` -> its class."""

FOLDER = "vocabularies"
LARGEST = 1 << 28
"""Of a vocabulary's file, in bytes."""
NAME = re.compile(r"[a-z][a-z0-9_]*")
LINES = ("source", "target")
"""The names whose vocabularies must be able to end a line."""


class Vocabularies(Mapping[str, Vocabulary]):
    """Vocabularies by name, such as `text`, or `source` and `target`; nothing is added or taken away later.

    Two names may share one and the same object, which is then built, saved and counted once.

    Args:
        by_name: at least one; names are of lower-case letters, digits and `_`.

    Raises:
        ConfigError: there is none, or a name is of another form.
    """

    def __init__(self, by_name: Mapping[str, Vocabulary]) -> None:
        if not by_name or not all(map(NAME.fullmatch, by_name)):
            raise ConfigError(
                "vocabularies: expected at least one, named by lower-case letters, digits and _; "
                f"got {', '.join(map(repr, by_name)) or 'none'}."
            )
        self._by_name = dict(by_name)

    def __getitem__(self, name: str) -> Vocabulary:
        return self._by_name[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._by_name)

    def __len__(self) -> int:
        return len(self._by_name)

    def sizes(self) -> list[str]:
        """The name, size and kind of each, in words."""
        return [f"{name}: {len(one)} {one.kind}" for name, one in self.items()]

    def __repr__(self) -> str:
        return f"Vocabularies({', '.join(self.sizes())})"

    def joint(self, a: str, b: str) -> bool:
        """Whether two names share one vocabulary."""
        return self[a] is self[b]

    @property
    def digest(self) -> str:
        """SHA-256 (hexadecimal) of everything that encoding depends on; a single vocabulary has its own digest."""
        if len(self) == 1:
            return next(iter(self.values())).digest
        digests = [vocabulary.digest for vocabulary in self._distinct().values()]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def save(self, folder: str | Path) -> None:
        """Write `vocabularies/` into the existing `folder` of a run: a sub-folder for each distinct vocabulary.

        Raises:
            OSError: the disk is full or refuses.
        """
        place = Path(folder) / FOLDER
        place.mkdir(exist_ok=True)
        for names, vocabulary in self._distinct().items():
            subfolder = place / "+".join(names)
            subfolder.mkdir(exist_ok=True)
            vocabulary.save(subfolder)
        flush_folder(place)
        flush_folder(place.parent)

    @staticmethod
    def load(folder: str | Path) -> Vocabularies:
        """Read what `save` wrote, or the vocabularies of a run of format 1.

        Raises:
            RunError: a file is missing, damaged or foreign.
        """
        place = Path(folder) / FOLDER
        if not place.is_dir():
            return _load_format_1(Path(folder))
        by_name: dict[str, Vocabulary] = {}
        for subfolder in sorted(path for path in place.iterdir() if path.is_dir()):
            names = subfolder.name.split("+")
            new = len(set(names) - by_name.keys()) == len(names)
            if not new or not all(map(NAME.fullmatch, names)):
                raise RunError(f"{subfolder}: foreign; expected names joined by +, each of them once.")
            by_name |= dict.fromkeys(names, _load_named(subfolder, names))
        if not by_name:
            raise RunError(f"{place}: damaged; expected a folder for each vocabulary, got none.")
        return Vocabularies(by_name)

    def _distinct(self) -> dict[tuple[str, ...], Vocabulary]:
        """Each vocabulary once, under all its names, in the order of these."""
        names: dict[int, list[str]] = {}
        for name in sorted(self):
            names.setdefault(id(self[name]), []).append(name)
        return {tuple(shared): self[shared[0]] for shared in names.values()}


def load_vocabulary(folder: str | Path) -> Vocabulary:
    """Read what `Vocabulary.save` wrote.

    Raises:
        RunError: the file is missing, damaged or foreign.
    """
    path = Path(folder) / FILE_NAME
    try:
        content = load_json(read_plain(path, LARGEST))
    except FileNotFoundError as error:
        raise RunError(f"{path}: no such file; expected a vocabulary. Is {folder} a run?") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise RunError(f"{path}: damaged; expected the JSON of a vocabulary ({reason}).") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise RunError(f"{path}: foreign; expected a JSON object whose format is {FORMAT!r}.")
    kind = content.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise RunError(f"{path}: damaged; expected kind to be one of {', '.join(KINDS)}, got {quoted(kind)}.")
    return KINDS[kind].restore(content, path)


def build_vocabulary(
    kind: str,
    text: str | bytes,
    *,
    line_end: LineEnd = "newline",
    minimum_count: int = 1,
    maximum_size: int | None = None,
    subword_size: int = 4000,
) -> Vocabulary:
    """The vocabulary of a training text.

    Args:
        kind: words, characters, bytes or subwords.
        text: the whole text, its lines ended by newlines.
        line_end: what ends a line of characters or bytes; of words and subwords it is always EOS.
        minimum_count: words or characters seen less often than this are unknown.
        maximum_size: the maximum number of symbols of words or characters, line end and UNK included.
        subword_size: the number of subwords.

    Raises:
        ConfigError: `subword_size` does not suit the text, or sentencepiece is not installed.
        DataError: the vocabulary would hold only the line end and UNK.
    """
    if kind == "bytes":
        return Bytes(line_end)
    text = text_of(text)
    if kind == "words":
        return Words.build(text, minimum_count, maximum_size)
    if kind == "subwords":
        return Subwords.build(text, subword_size)
    if kind == "characters":
        return Characters.build(text, line_end, minimum_count, maximum_size)
    raise ConfigError(f"kind: expected words, characters, bytes or subwords, got {kind!r}.")


def _load_format_1(folder: Path) -> Vocabularies:
    """The vocabularies of a run of format 1, which has no folder `vocabularies/`.

    A language model's `vocabulary.json` lies in the run itself; a translator's in `joint_vocabulary/`, or in
    `source_vocabulary/` and `target_vocabulary/`.
    """
    joint = folder / "joint_vocabulary"
    if joint.exists():
        return Vocabularies(dict.fromkeys(LINES, _load_named(joint, LINES)))
    if any((folder / f"{name}_vocabulary").exists() for name in LINES):
        return Vocabularies({name: _load_named(folder / f"{name}_vocabulary", (name,)) for name in LINES})
    if (folder / FILE_NAME).exists():
        return Vocabularies({"text": load_vocabulary(folder)})
    raise RunError(
        f"{folder / FOLDER}: no such folder; expected the vocabularies of a run. Is {folder} a run?"
    )


def _load_named(folder: Path, names: list[str] | tuple[str, ...]) -> Vocabulary:
    """The vocabulary in a folder, which must be able to end a line where one of its names asks for it."""
    vocabulary = load_vocabulary(folder)
    if set(names).isdisjoint(LINES):
        return vocabulary
    if (
        not isinstance(vocabulary, Words | Characters | Subwords)
        or vocabulary.symbols[vocabulary.eos_id] != EOS
    ):
        raise RunError(
            f"{folder}: foreign; expected words, characters or subwords whose id 0 is {EOS}, got "
            f"{vocabulary.kind}."
        )
    return vocabulary
