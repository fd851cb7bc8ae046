"""Reading a run's files with care."""

from __future__ import annotations

import json

import pytest
import torch

from recurra.errors import RunError
from recurra.training.durable import (
    check_tensors,
    json_bytes,
    read_json,
    read_tensors,
    read_yaml,
    tensor_bytes,
)


def test_tensors_come_back_each_in_memory_of_its_own(tmp_path):
    path = tmp_path / "it.safetensors"
    tensors = {"a": torch.randn(3, 5), "b": torch.arange(4), "c": torch.randn(2, 6).T}
    path.write_bytes(tensor_bytes(tensors))
    check_tensors(path)
    back = read_tensors(path)
    assert all(torch.equal(back[name], tensor) for name, tensor in tensors.items())
    assert len({tensor.untyped_storage().data_ptr() for tensor in back.values()}) == 3


def test_numbers_keep_every_bit_and_what_is_none_is_refused(tmp_path):
    path = tmp_path / "it.json"
    path.write_bytes(json_bytes({"x": 0.1 + 0.2}))
    assert read_json(path) == {"x": 0.1 + 0.2}
    with pytest.raises(ValueError, match="not JSON compliant"):
        json_bytes({"x": float("nan")})


@pytest.mark.parametrize("read", [read_tensors, check_tensors, read_json, read_yaml])
@pytest.mark.parametrize("content", [None, b"", b"\0" * 30, b"[1, 2]", b"{" * 100_000])
def test_missing_damaged_and_foreign_files_are_one_line(tmp_path, read, content):
    path = tmp_path / "it"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(RunError, match=str(path)) as error:
        read(path)
    assert "\n" not in str(error.value)


def test_yaml_runs_no_code(tmp_path):
    path = tmp_path / "it.yaml"
    path.write_text("a: !!python/object/apply:os.system ['true']")
    with pytest.raises(RunError, match="YAML tags are not read"):
        read_yaml(path)
    path.write_text(json.dumps({"a": {"b": [1, None]}}))
    assert read_yaml(path) == {"a": {"b": [1, None]}}
