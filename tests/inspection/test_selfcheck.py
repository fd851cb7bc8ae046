"""Backends compared with the reference: those that agree pass, a wrong one is found in the tensor that is wrong."""

from __future__ import annotations

import types

import pytest
import torch

from recurra.cells import CELLS
from recurra.engine import BACKENDS
from recurra.inspection import selfcheck
from recurra.inspection.selfcheck import Check, check_backends

reference = BACKENDS["reference"]


def backend(run) -> types.SimpleNamespace:
    return types.SimpleNamespace(NAME="other", DEVICE=None, can_run=reference.can_run, run=run)


@pytest.fixture
def only(monkeypatch):
    """Makes a backend of this name the only other one."""

    def put(module: object) -> None:
        monkeypatch.setattr(selfcheck, "BACKENDS", {"reference": reference, "textbook": module})

    return put


def test_the_textbook_agrees_in_both_types(only) -> None:
    only(BACKENDS["textbook"])
    found = list(check_backends({"gru": CELLS["gru"]}))
    assert [(one.backend, one.cell, one.dtype) for one in found] == [
        ("textbook", "gru", torch.float32),
        ("textbook", "gru", torch.float64),
    ]
    assert all(one.passed and one.difference is not None for one in found)
    assert found[1].difference < 1e-12


def test_a_backend_that_cannot_run_says_why_and_does_not_fail(only) -> None:
    only(types.SimpleNamespace(can_run=lambda program, options: "no reason"))
    (first, _) = check_backends({"elman": CELLS["elman"]})
    assert (first.difference, first.reason, first.passed) == (None, "no reason", True)


def test_a_wrong_tensor_is_named(monkeypatch) -> None:
    """A backend whose results differ in one gradient only."""
    usual = selfcheck._results

    def results(cell, name, *rest):
        values = usual(cell, "reference", *rest)
        if name != "reference":
            values["gradient of x"] = values["gradient of x"] * 1.5
        return values

    monkeypatch.setattr(selfcheck, "_results", results)
    monkeypatch.setattr(selfcheck, "BACKENDS", {"reference": reference, "wrong": reference})
    for one in check_backends({"lstm": CELLS["lstm"]}):
        assert one.worst == "gradient of x"
        assert one.difference == pytest.approx(0.5)
        assert not one.passed


@pytest.mark.parametrize(
    ("difference", "dtype", "passed"),
    [
        (1e-5, torch.float32, True),
        (2e-5, torch.float32, False),
        (2e-12, torch.float64, False),
        (None, torch.float64, True),
    ],
)
def test_the_tolerance_is_that_of_the_type(
    difference: float | None, dtype: torch.dtype, passed: bool
) -> None:
    assert Check("cpu", "lstm", dtype, difference, "", "").passed == passed


def test_not_a_number_is_infinitely_wrong() -> None:
    assert selfcheck._difference(torch.tensor([float("nan")]), torch.ones(1)) == float("inf")
    assert selfcheck._difference(torch.tensor([3.0, 2.0]), torch.tensor([4.0, 2.0])) == 0.25
