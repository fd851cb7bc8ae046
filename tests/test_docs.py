"""Every example in README.md and docs/ runs. CONTRIBUTING.md, "Examples in the documentation", has the rules.

A page is one test: its blocks run in order, in one temporary folder and (Python) one namespace.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
BIN = Path(sys.executable).parent
DIRECTIVE = re.compile(r"<!-- (test|file): (.*?) -->")
FENCE = re.compile(r"^```(\w*)\s*$")


@dataclass(frozen=True)
class Block:
    """A fenced block, with the directives on the lines before it and the output that follows it."""

    language: str
    code: str
    line: int
    added: tuple[str, ...]
    file: str | None
    expected: str | None = None


def fenced(text: str) -> Iterator[Block]:
    """Every fenced block of a page; directives count for the next block only."""
    lines = iter(enumerate(text.splitlines(), 1))
    added: list[str] = []
    file: str | None = None
    for number, line in lines:
        if directive := DIRECTIVE.fullmatch(line):
            if directive[1] == "file":
                file = directive[2]
            else:
                added.append(directive[2])
        elif fence := FENCE.match(line):
            code = []
            for _, inner in lines:
                if inner.startswith("```"):
                    break
                code.append(inner)
            yield Block(fence[1], "\n".join(code) + "\n", number, tuple(added), file)
            added, file = [], None
        elif line.strip():
            assert not added, f"line {number}: a test directive must stand directly above its block"
            assert file is None, f"line {number}: a file directive must stand directly above its block"


def examples(text: str) -> list[Block]:
    """The blocks that run or are written to a file, each with the output expected of it."""
    blocks = list(fenced(text))
    found = []
    for block, after in zip_longest(blocks, blocks[1:]):
        expects = after and after.language == "text" and after.file is None
        if block.language in ("python", "console") or block.file:
            found.append(replace(block, expected=after.code) if expects else block)
    return found


def same(expected: str, printed: str) -> bool:
    """Whether `printed` is `expected`, in which `...` stands for anything; line ends may trail spaces."""
    pieces = [re.escape(piece) for piece in clean(expected).split("...")]
    return re.fullmatch(".*".join(pieces), clean(printed), re.DOTALL) is not None


def clean(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())


def commands(block: Block) -> list[str]:
    """The commands of a console block, with the options added that make them small."""
    found = []
    for line in block.code.replace("\\\n", " ").splitlines():
        assert line.startswith("$ "), f"a console block holds only commands, each after '$ ', not {line!r}"
        command = line.removeprefix("$ ")
        for directive in block.added:
            verb, options = directive.split(maxsplit=1)
            if re.search(rf"\b(recurra {verb}|{verb}) ", command + " "):
                command += " " + options
        found.append(command)
    assert all(any(added.split(maxsplit=1)[1] in command for command in found) for added in block.added)
    return found


def shell(command: str, folder: Path) -> str:
    """Run one command as a reader would, from the installed package, and return its standard output."""
    if command.startswith("make "):
        out = f"DEMO_OUT={folder / 'runs' / 'demo'}" if "DEMO_OUT" not in command else ""
        command = f"make -C {ROOT} {command.removeprefix('make ')} SETUP= BIN={BIN} {out}"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    environment |= {
        "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
        "MPLBACKEND": "Agg",
    }
    done = subprocess.run(
        ["bash", "-c", f"set -e -o pipefail\n{command}"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, f"{command}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def run(page: Path, block: Block, folder: Path, namespace: dict[str, object]) -> None:
    where = f"{page.name}, line {block.line}"
    if block.file:
        Path(block.file).write_text(block.code, encoding="utf-8")
    printed = ""
    if block.language == "python":
        code = compile("\n" * block.line + block.code, str(page), "exec")
        stdout = io.StringIO()
        with contextlib.redirect_stdout(stdout):
            exec(code, namespace)  # noqa: S102 - our own documentation
        printed = stdout.getvalue()
    elif block.language == "console":
        printed = "".join(shell(command, folder) for command in commands(block))
    if block.expected is not None:
        assert same(block.expected, printed), f"{where} printed\n{printed}\ninstead of\n{block.expected}"


@pytest.mark.timeout(600)
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from recurra.data.text import default_text

    blocks = examples(page.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    text = default_text()
    for name, part in [
        ("poems.txt", slice(0, 30_000)),
        ("test.txt", slice(30_000, 33_000)),
        ("mine.txt", slice(33_000, 63_000)),
    ]:
        (tmp_path / name).write_text(text[part], encoding="utf-8")
    namespace: dict[str, object] = {"__name__": "__main__"}
    for block in blocks:
        run(page, block, tmp_path, namespace)


def test_the_readme_starts_with_the_demo():
    first = examples((ROOT / "README.md").read_text(encoding="utf-8"))[0]
    assert first.language == "console"
    assert first.code.splitlines()[0] == "$ make demo"


@pytest.mark.parametrize(
    ("expected", "printed", "equal"),
    [
        ("a\nb\n", "a\nb  \n\n", True),
        ("a ... c\n", "a b\nb c\n", True),
        ("a\n", "a\nb\n", False),
        ("a...\n", "b a\n", False),
        ("1.5\n", "1x5\n", False),
    ],
)
def test_expected_output_is_compared(expected: str, printed: str, equal: bool):
    assert same(expected, printed) is equal


PAGE = """
<!-- file: mine.py -->
```python
print(1 + 1)
```

```text
2
```

<!-- test: train --training.steps 3 -->
```console
$ recurra train lm \\
    --out runs/x
$ recurra sample runs/x
```

```yaml
not: run
```
"""


def test_blocks_and_directives_are_read():
    python, console = examples(PAGE)
    assert (python.language, python.code, python.file) == ("python", "print(1 + 1)\n", "mine.py")
    assert python.expected == "2\n"
    assert (console.expected, console.file) == (None, None)
    added = [" ".join(command.split()) for command in commands(console)]
    assert added == ["recurra train lm --out runs/x --training.steps 3", "recurra sample runs/x"]


def test_a_wrong_example_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    wrong = examples(PAGE.replace("1 + 1", "1 + 2"))[0]
    with pytest.raises(AssertionError, match="instead of"):
        run(Path("page.md"), wrong, tmp_path, {})
    with pytest.raises(AssertionError, match="exit 3"):
        shell("echo before; exit 3", tmp_path)


def test_commands_come_from_this_environment(tmp_path: Path):
    assert shutil.which("recurra", path=str(BIN)), f"install the package: no `recurra` in {BIN}"
    assert shell("command -v recurra", tmp_path).strip() == str(BIN / "recurra")
