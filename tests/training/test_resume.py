"""A training state as named tensors and plain values, and those of the format before."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from recurra.contracts import State
from recurra.errors import RunError
from recurra.training.resume import (
    FORMAT,
    apply_weights,
    check_fingerprint,
    current_values,
    model_tensors,
    pack_carried,
    pack_generators,
    pack_optimiser,
    unpack_carried,
    unpack_generators,
    unpack_optimiser,
)


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 3), nn.Linear(3, 3)
        self.second.weight = self.first.weight


def test_tied_tensors_are_named_once_and_share_the_memory():
    model = Tied()
    tensors = model_tensors(model)
    assert list(tensors) == ["first.weight", "first.bias", "second.bias"]
    tensors["first.weight"].zero_()
    assert not model.second.weight.any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"first.bias": None}, "has no tensor 'first.bias'"),
        ({"other": torch.zeros(1)}, "holds a tensor 'other' that this model does not have"),
        ({"first.bias": torch.zeros(4)}, r"first\.bias expected float32 \[3\], got float32 \[4\]"),
        ({"first.bias": torch.zeros(3).double()}, r"first\.bias expected float32 \[3\], got float64 \[3\]"),
    ],
)
def test_weights_that_do_not_fit_are_named(change, message):
    model = Tied()
    tensors = {k: v.clone() for k, v in (model_tensors(model) | change).items() if v is not None}
    with pytest.raises(RunError, match=message):
        apply_weights(model, tensors, "it")


def test_an_optimiser_comes_back():
    def steps(model, optimiser, count):
        for number in range(count):
            optimiser.zero_grad()
            (model.first.weight.sum() * (number + 1)).backward()
            optimiser.step()

    torch.manual_seed(0)
    one = Tied()
    torch.manual_seed(0)
    other = Tied()
    adams = [torch.optim.Adam(model.parameters()) for model in (one, other)]
    steps(one, adams[0], 3)
    packed = {name: tensor.clone() for name, tensor in pack_optimiser(one, adams[0]).items()}
    unpack_optimiser(other, adams[1], packed, "it")
    other.load_state_dict(one.state_dict())
    for model, adam in zip((one, other), adams, strict=True):
        steps(model, adam, 2)
    assert torch.equal(one.first.weight, other.first.weight)
    with pytest.raises(RunError, match="fits no parameter"):
        unpack_optimiser(other, adams[1], {"optimiser.third.weight|exp_avg": torch.zeros(3)}, "it")


def test_generators_and_the_carried_state_come_back():
    packed = pack_generators(torch.device("cpu"))
    drawn = torch.rand(3)
    unpack_generators(torch.device("cpu"), packed, "it")
    assert torch.equal(torch.rand(3), drawn)
    with pytest.raises(RunError, match=r"has no tensor generator\.cpu"):
        unpack_generators(torch.device("cpu"), {}, "it")
    state = State((({"h": torch.randn(2, 3), "c": torch.randn(2, 3)},),))
    back = unpack_carried(pack_carried(state), torch.device("cpu"), "it")
    assert all(torch.equal(a, b) for (_, a), (_, b) in zip(state.tensors(), back.tensors(), strict=True))
    assert unpack_carried({}, torch.device("cpu"), "it") is None


def test_values_of_the_format_before_have_the_names_of_today():
    before = {"surroundings": {"torch": "2"}, "counters": {"waited": 3, "step": 1}, "schedule": {"waited": 1}}
    assert current_values(before, "it") == {
        "environment": {"torch": "2"},
        "counters": {"evaluations_since_best": 3, "step": 1},
        "schedule": {"evaluations_since_best": 1},
    }
    today = {"format": FORMAT, "environment": {}}
    assert current_values(today, "it") == today
    with pytest.raises(RunError, match=r"values\.json has format 9, and this recurra reads 1 to 2"):
        current_values({"format": 9}, "it")


def test_a_changed_digest_is_named():
    check_fingerprint({"data.train": "abc"}, {"data.train": "abc"}, "it")
    with pytest.raises(RunError, match=r"it: data\.valid is not what .*digest none then, 0123456789ab now"):
        check_fingerprint({}, {"data.valid": "0123456789abcdef"}, "it")
