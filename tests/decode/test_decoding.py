"""What sampling needs of a record is enough to sample."""

from __future__ import annotations

import subprocess
import sys

import torch

from recurra.contracts import Batch
from recurra.decode.config import SamplingConfig
from recurra.decode.decoding import Decoding
from recurra.decode.sampling import sample
from toy_stepper import STOP, toy


def test_a_decoding_is_sampled_and_told_as_text():
    model = toy(seed=4, source_lengths=(3,), impossible=0.0)
    prompt = torch.tensor([2, 3])
    decoding = Decoding(
        Batch.of_rows(1),
        prompt,
        stop=STOP,
        forbid=(1,),
        text=lambda ids: "".join("$abc"[symbol] for symbol in [*prompt.tolist(), *ids.tolist()]),
    )
    samples = list(
        sample(
            model,
            SamplingConfig(max_length=3, seed=5),
            40,
            prompt=decoding.prompt,
            stop=decoding.stop,
            forbid=decoding.forbid,
        )
    )
    texts = [decoding.text(one.ids) for one in samples]
    assert all(text.startswith("bc") and "a" not in text for text in texts)
    assert {text[-1] == "$" for text in texts} == {True, False}
    for one in samples:
        whole = (*prompt.tolist(), *one.ids.tolist())
        assert abs(one.log_prob - model.log_prob(0, whole) + model.log_prob(0, whole[:2])) < 1e-12


def test_options_and_settings_of_decoding_import_no_torch():
    """`recurra sample --help` reads them."""
    code = (
        "import sys, recurra.decode.sample_options, recurra.decode.config; assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
