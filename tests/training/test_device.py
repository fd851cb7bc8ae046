"""Where a model runs."""

import pytest
import torch

from recurra.errors import ConfigError
from recurra.training.device import resolve_device


def test_auto_is_cuda_where_there_is_one():
    assert resolve_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert resolve_device("cpu").type == "cpu"


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_a_device_that_is_not_there_is_refused():
    with pytest.raises(ConfigError, match=r"training\.device: PyTorch finds no CUDA device; use cpu"):
        resolve_device("cuda")
