"""What `fuzz.py` tries: damaged copies of runs, configurations and texts, each drawn from a number."""

from __future__ import annotations

import gzip
import json
import os
import random
import shutil
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Case:
    """A command and what was done to what it reads."""

    what: str
    arguments: tuple[object, ...]
    stdin: Path | None = None


RAW = (
    "",
    "null",
    "NaN",
    "Infinity",
    "-Infinity",
    "1e999",
    "-1",
    "0",
    "1e400",
    "1" + "0" * 400,
    "9" * 5000,
    "true",
    "[]",
    "{}",
    '"x"',
    '"\\ud800"',
    '"' + "x" * 5000 + '"',
    "[" * 600,
    "[" * 20000 + "]" * 20000,
    '{"a":' * 300,
    "0.5",
    "99999999999",
    "\0",
)
PLAIN: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63,
    10**30,
    0.5,
    -0.5,
    1e308,
    "",
    "x",
    "../outside/canary",
    "/dev/zero",
    "x" * 300,
    "\ud800",
    "\0",
    "a\nb",
    [],
    {},
    [1],
    [[]],
    {"a": 1},
    ["x"] * 3,
    "nan",
    "auto",
    "lstm",
    "é",
)
COMMANDS: tuple[tuple[object, ...], ...] = (
    ("evaluate", "RUN"),
    ("resume", "RUN"),
    ("resume", "RUN"),
    ("predict", "RUN", "lines.txt"),
    ("sample", "RUN", "--n", 1, "--max-length", 5, "--prompt", "the "),
    ("average", "RUN", "--out", "mean"),
    ("inspect", "gates", "RUN", "--text", "the cat", "--out", "gates.png"),
)


def damaged_run(number: int, base: Path, inside: Path, outside: Path) -> Case:
    """A run in which one to three files are damaged."""
    drawn = random.Random(number)
    name = drawn.choice(["lm", "lm", "subwords", "translate"])
    folder = inside / "run"
    shutil.copytree(base / name, folder)
    shutil.copy(base / "lines.txt", inside / "lines.txt")
    done = []
    for _ in range(drawn.choice([1, 1, 1, 2, 3])):
        files = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
        if files:
            done.append(_damage(drawn, drawn.choice(files), outside))
    arguments = tuple("run" if part == "RUN" else part for part in drawn.choice(COMMANDS))
    return Case("; ".join(done), arguments)


def _damage(drawn: random.Random, path: Path, outside: Path) -> str:
    """Damage a file; what was done, in words."""
    ways: list[Callable[[random.Random, Path, Path], str]] = [_bytes, _bytes, _place]
    if path.suffix in (".json", ".yaml"):
        ways += [_value, _value, _value, _text]
    if path.suffix == ".safetensors":
        ways += [_header, _header]
    if path.name in ("metrics.jsonl", "latest"):
        ways += [_text]
    return f"{path.name}: {drawn.choice(ways)(drawn, path, outside)}"


def _bytes(drawn: random.Random, path: Path, outside: Path) -> str:
    data = bytearray(path.read_bytes())
    place = drawn.randrange(len(data) + 1)
    way = drawn.choice(["cut", "flip", "insert", "zero", "empty", "double", "random"])
    if way == "cut":
        del data[place:]
    elif way == "flip":
        for _ in range(drawn.choice([1, 1, 8, 64])):
            if data:
                data[drawn.randrange(len(data))] ^= 1 << drawn.randrange(8)
    elif way == "insert":
        data[place:place] = drawn.randbytes(drawn.choice([1, 9, 1000]))
    elif way == "zero":
        data[place:] = bytes(len(data) - place)
    elif way == "double":
        data = data + data
    else:
        data = bytearray(drawn.randbytes(200) if way == "random" else b"")
    path.write_bytes(data)
    return way


def _place(drawn: random.Random, path: Path, outside: Path) -> str:
    """Something other than a file, or nothing, in the place of the file or of its folder."""
    if drawn.random() < 0.3 and path.parent.parent.name == "run":
        path = path.parent
        shutil.rmtree(path)
    else:
        path.unlink()
    way = drawn.choice(["missing", "folder", "link", "link to nothing", "pipe", "link to a device", "file"])
    if way == "folder":
        path.mkdir()
    elif way == "link":
        path.symlink_to(outside / "canary")
    elif way == "link to nothing":
        path.symlink_to(outside / "nothing")
    elif way == "link to a device":
        path.symlink_to("/dev/zero")
    elif way == "pipe":
        os.mkfifo(path)
    elif way == "file":
        path.write_bytes(b"x")
    return f"{way} at {path.name}"


def _text(drawn: random.Random, path: Path, outside: Path) -> str:
    value = drawn.choice(RAW)
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    index = drawn.randrange(len(lines))
    if drawn.random() < 0.5 and ":" in lines[index]:
        lines[index] = f"{lines[index].partition(':')[0]}: {value}"
    else:
        lines[index] = value
    path.write_text("\n".join(lines), encoding="utf-8", errors="replace")
    return f"line {index + 1} is {value[:20]}"


def _value(drawn: random.Random, path: Path, outside: Path) -> str:
    """Another value, a missing, doubled or foreign key somewhere in a tree of values."""
    text = path.read_text(encoding="utf-8", errors="replace")
    try:
        tree = json.loads(text)
    except ValueError:
        import yaml

        try:
            tree = yaml.safe_load(text)
        except (yaml.YAMLError, ValueError, RecursionError):
            return _bytes(drawn, path, outside)
    if not isinstance(tree, dict) or not tree:
        return _bytes(drawn, path, outside)
    place: Any = tree
    key: Any = drawn.choice(list(place))
    while isinstance(place[key], dict | list) and place[key] and drawn.random() < 0.8:
        place = place[key]
        key = drawn.choice(list(place)) if isinstance(place, dict) else drawn.randrange(len(place))
    value = drawn.choice(PLAIN)
    way = drawn.choice(["value", "value", "value", "missing", "foreign"])
    if way == "missing":
        del place[key]
    elif way == "foreign" and isinstance(place, dict):
        place[drawn.choice(["x", "", "\ud800", "a.b", "x" * 400])] = value
    else:
        place[key] = value
    written = json.dumps(tree, default=str, skipkeys=True)  # YAML has dates, which JSON has not
    path.write_bytes(written.encode("utf-8", errors="surrogatepass"))
    return f"{way} {value!r:.40} at {key!r:.40}"


def _header(drawn: random.Random, path: Path, outside: Path) -> str:
    """Another header of a safetensors file."""
    data = path.read_bytes()
    if len(data) < 8:
        return _bytes(drawn, path, outside)
    (length,) = struct.unpack("<Q", data[:8])
    try:
        header, body = json.loads(data[8 : 8 + length]), data[8 + length :]
    except ValueError:
        return _bytes(drawn, path, outside)
    name = drawn.choice([key for key in header if key != "__metadata__"] or ["x"])
    entry = header.get(name, {})
    way = drawn.choice(["drop", "rename", "shape", "dtype", "offsets", "length", "nan"])
    if way == "drop":
        header.pop(name, None)
    elif way == "rename":
        header[drawn.choice(["x", "", "a|b", "optimiser.x|y", "carried.x"])] = header.pop(name, None)
    elif way == "shape" and isinstance(entry, dict):
        entry["shape"] = drawn.choice(
            [[], [0], [1], [2**40], [2**62, 4], [-1], "x", [1, 1], list(reversed(entry.get("shape", [])))]
        )
    elif way == "dtype" and isinstance(entry, dict):
        entry["dtype"] = drawn.choice(["F64", "I64", "BF16", "U8", "x", 3])
    elif way == "offsets" and isinstance(entry, dict):
        entry["data_offsets"] = drawn.choice([[0, 0], [4, 0], [0, 2**60], [-4, 4], "x"])
    elif way == "nan":
        body = b"\xff" * len(body)
    text = json.dumps(header).encode()
    length = drawn.choice([2**63, 2**40, 0, len(text) // 2]) if way == "length" else len(text)
    path.write_bytes(struct.pack("<Q", length) + text + body)
    return f"header: {way} {name}"


def configuration(number: int, base: Path, inside: Path, outside: Path) -> Case:
    """A configuration file, options, or both, with odd values under real and foreign keys."""
    from recurra.settings import fields_of
    from recurra.tasks.registry import find_task

    drawn = random.Random(number)
    task = drawn.choice(["lm", "translate"])
    data = base / ("lines.txt" if task == "lm" else "pairs.tsv")
    keys = [
        key
        for key, _, _ in fields_of(find_task(task).config)
        if key not in ("training.minutes", "training.threads")
    ]
    keys += ["x", "model", "training", "model.x", ""]
    arguments: list[object] = ["train", task, "--data.train", data, "--out", "run"]
    if drawn.random() < 0.5:
        tree: dict[str, Any] = {}
        for _ in range(drawn.choice([1, 1, 2, 5])):
            section, _, key = drawn.choice(keys).partition(".")
            if isinstance(tree.setdefault(section, {}), dict):
                tree[section][key] = drawn.choice(PLAIN)
        text = json.dumps(tree, ensure_ascii=drawn.random() < 0.5)
        if drawn.random() < 0.4:
            place = drawn.randrange(len(text))
            text = text[:place] + drawn.choice(RAW) + text[place + drawn.choice([0, 1, 3]) :]
        (inside / "it.yaml").write_bytes(text.encode("utf-8", errors="surrogatepass"))
        arguments += ["--config", "it.yaml"]
    else:
        for _ in range(drawn.choice([1, 1, 2])):
            value = drawn.choice([*RAW, *(str(value) for value in PLAIN)]).replace("\0", "")
            value = value.encode("utf-8", errors="surrogatepass").decode("utf-8", errors="surrogateescape")
            name = drawn.choice(keys)
            arguments += drawn.choice([[f"--{name}", value], [f"--{name}={value}"], [f"--{name}"]])
    arguments += ["--training.steps", 1]
    if drawn.random() < 0.8:
        arguments += ["--model.hidden_size", 4]
    return Case("configuration", tuple(arguments))


ENDS = ("\n", "\r\n", "\r", "\x85", "\x0b", "\x0c", "\u2028", "\x1c", "\n\n", "")
PIECES = (
    "the cat",
    "die Katze",
    "a\tb",
    "\t",
    "",
    " ",
    "a\tb\tc",
    "naïve",
    "\u0301",
    "\U0001f600",
    "\u200f",
    "<eos>",
    "<unk>",
    "\x00",
    "\x07",
    "\ufeff",
    "{",
    '{"source": "a"}',
    '{"source": 1}',
    "[",
    '"x"',
    "x" * 3000,
    "\u2581",
    "\ud800",
    "-",
    "12 34",
    "\u00a0",
)
MAGIC = (
    b"\x1f\x8b",
    b"\xfd7zXZ\0",
    b"BZh9",
    b"PK\x03\x04",
    b"\x89PNG\r\n",
    b"%PDF-1.4",
    b"\xff\xfea\0b\0",
    b"\xfe\xff\0a",
    b"\x80\x04",
    b"\x28\xb5\x2f\xfd",
    b"SQLite format 3\0",
    b"\x7fELF",
    b"\xef\xbb\xbf",
)


def text(number: int, base: Path, inside: Path, outside: Path) -> Case:
    """A text for one of the readers: training in each vocabulary and layout, pairs, prediction, scoring, BLEU."""
    drawn = random.Random(number)
    first, second = (inside / name for name in ("first", "second"))
    for path in (first, second):
        path.write_bytes(_content(drawn))
    small = ("--training.steps", 1, "--model.hidden_size", 4, "--out", "run")
    vocabulary = drawn.choice(["characters", "words", "bytes", "subwords", "notes"])
    encoding = ("--data.encoding", drawn.choice(["utf-8", "latin-1", "utf-16", "ascii", "idna", "shift_jis"]))
    chosen: tuple[object, ...] = drawn.choice(
        [
            ("train", "lm", "--data.train", first, "--data.vocabulary", vocabulary, *encoding, *small),
            (
                "train",
                "lm",
                "--data.train",
                first,
                "--data.layout",
                "lines",
                "--data.vocabulary",
                vocabulary,
                *small,
            ),
            ("train", "translate", "--data.train", first, *small),
            ("train", "translate", "--data.train_source", first, "--data.train_target", second, *small),
            ("predict", base / "translate", first),
            ("predict", base / "translate", first, "--json"),
            ("score", base / "lm", first),
            ("predict", base / "translate"),
            ("score", base / "subwords"),
            ("evaluate", base / "lm", "--data.test", first),
            ("evaluate", base / "translate", "--data.test", first),
            ("bleu", first, second),
            ("bleu", "-", first),
            ("sample", base / "lm", "--max-length", 5),
        ]
    )
    return Case("text", chosen, first if drawn.random() < 0.7 else second)


def _content(drawn: random.Random) -> bytes:
    way = drawn.random()
    if way < 0.1:
        return drawn.choice(MAGIC) + drawn.randbytes(drawn.choice([0, 50, 3000]))
    if way < 0.2:
        return drawn.randbytes(drawn.choice([0, 1, 50, 3000]))
    ends = drawn.choice([ENDS, ENDS[:1], ENDS[:2], ENDS[2:3]])
    pieces = drawn.choice([PIECES, PIECES[:3], PIECES[:13]])
    lines = (drawn.choice(pieces) + drawn.choice(ends) for _ in range(drawn.choice([0, 1, 5, 60])))
    data = "".join(lines).encode(
        drawn.choice(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]), errors="replace"
    )
    if drawn.random() < 0.1:
        data = data.replace(b"?", b"\xff")
    if drawn.random() < 0.1:
        packed = gzip.compress(data)
        data = packed[: drawn.choice([len(packed), len(packed) // 2, len(packed) - 4])]
    return data


KINDS: dict[str, Callable[[int, Path, Path, Path], Case]] = {
    "runs": damaged_run,
    "configurations": configuration,
    "texts": text,
}
