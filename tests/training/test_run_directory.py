"""The run directory: built under another name, whole at every instant, and plain about what is wrong with it."""

from __future__ import annotations

import errno
import json
import os
import resource

import pytest
import torch
from safetensors.torch import save_file

from recurra.errors import RunError, TrainingError
from recurra.training.resume import model_tensors
from recurra.training.run_directory import ResumeState, RunDirectory
from recurra.training.run_place import check_free
from training.tiny import Setup, TinyJob, assert_same_end


@pytest.fixture
def run(tmp_path) -> RunDirectory:
    """Trained for 8 steps, saved at 6 and 8."""
    Setup.of(steps=8).train(tmp_path / "run")
    return RunDirectory.open(tmp_path / "run")


def state(step: int, **tensors: torch.Tensor) -> ResumeState:
    return ResumeState(step, tensors or {"a": torch.randn(3, 5)}, {"x": 0.1 + 0.2, "y": None})


# -------------------------------------------------------------------- what is there


def test_a_new_run_holds_everything(tmp_path):
    setup = Setup.of(steps=3, clip_value=0.5)
    job = TinyJob()
    run = setup.create(tmp_path / "deep" / "run", job)
    assert {path.name for path in run.path.iterdir()} == {
        ".lock",
        "config.yaml",
        "vocabulary.json",
        "model.safetensors",
        "metrics.jsonl",
        "checkpoints",
        "plots",
        "resume",
    }
    assert run.config["task"] == "tiny"
    assert run.config["training"]["clip_value"] == 0.5
    assert (run.path / "resume" / "latest").read_text() == "0\n"
    assert set(run.load_weights()) == set(model_tensors(job.model))
    assert torch.equal(run.load_weights()["lstm.weight_hh_l0"], job.model.lstm.weight_hh_l0)
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]


def test_config_keeps_plain_values(tmp_path):
    config = {
        "tuple": (1, 2),
        "path": tmp_path,
        "rate": 1e-05,
        "none": None,
        "text": "naïve: [x]",
        "deep": {"a": (3,)},
    }
    run = RunDirectory.create(tmp_path / "run", config, lambda folder: None, {}, state(0))
    expected = {**config, "tuple": [1, 2], "path": str(tmp_path), "deep": {"a": [3]}}
    assert run.config == expected
    assert list(run.config) == list(config)


def test_resume_states_replace_each_other(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {"a": 1}, lambda folder: None, {}, state(0))
    for step in (3, 5, 5, 5):
        saved = state(step, a=torch.randn(4, 3), b=torch.randn(2).bfloat16(), c=torch.arange(3))
        run.append_metrics({"step": step})
        run.save_resume(saved)
        loaded = RunDirectory.open(run.path).load_resume()
        assert loaded.step == step
        assert loaded.values["x"] == 0.1 + 0.2
        assert all(torch.equal(loaded.tensors[name], saved.tensors[name]) for name in "abc")
        assert len(list((run.path / "resume").iterdir())) == 2  # one folder, and latest
    assert [row["step"] for row in run.metrics()] == [3, 5, 5, 5]


def test_loading_a_state_cuts_the_metrics_to_its_length(tmp_path):
    run = RunDirectory.create(tmp_path / "run", {"a": 1}, lambda folder: None, {}, state(0))
    run.append_metrics({"step": 1})
    run.save_resume(state(1))
    run.append_metrics({"step": 2})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"step": 3, "los')
    assert [row["step"] for row in run.metrics()] == [1, 2]  # what a kill cut short is left out
    run.load_resume()
    assert (run.path / "metrics.jsonl").read_text() == '{"step": 1}\n'
    run.append_metrics({"step": 2})
    assert [row["step"] for row in run.metrics()] == [1, 2]


def test_the_last_checkpoints_are_kept(tmp_path):
    Setup.of(steps=20, save_every=4, keep=2).train(tmp_path / "two")
    Setup.of(steps=20, save_every=4, keep=0).train(tmp_path / "none")
    assert sorted(path.name for path in (tmp_path / "two" / "checkpoints").iterdir()) == [
        "16.safetensors",
        "20.safetensors",
    ]
    assert list((tmp_path / "none" / "checkpoints").iterdir()) == []
    Setup.of(steps=20, save_every=4, keep=4).train(tmp_path / "four")
    kept = RunDirectory.open(tmp_path / "four").checkpoints()
    assert list(kept) == [8, 12, 16, 20]  # by number: "8" comes after "20" as text
    assert kept[8] == tmp_path / "four" / "checkpoints" / "8.safetensors"


def test_leftovers_of_a_kill_are_cleared(run):
    (run.path / "resume" / "7").mkdir()
    (run.path / "resume" / "9").mkdir()
    (run.path / ".model.safetensors.part").write_bytes(b"half")
    Setup.of(steps=9).resume(run.path)
    assert sorted(path.name for path in (run.path / "resume").iterdir()) == ["9", "latest"]
    assert not (run.path / ".model.safetensors.part").exists()


@pytest.mark.parametrize(
    "place",
    [
        "metrics.jsonl",
        "model.safetensors",
        "config.yaml",
        ".model.safetensors.part",
        "resume",
        "resume/latest",
        "checkpoints",
        "plots/training.png",
    ],
)
@pytest.mark.parametrize("kind", ["link", "link to nothing", "pipe"])
def test_nothing_but_files_and_folders_is_in_a_run(run, tmp_path, place, kind):
    outside, path = tmp_path / "outside", run.path / place
    was_folder = path.is_dir()
    if path.exists():
        path.rename(outside)
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(outside if kind == "link" else tmp_path / "nowhere")
    before = outside.stat().st_mtime_ns if outside.exists() else None
    what = "neither a file nor a folder" if kind == "pipe" else "a link"
    with pytest.raises(RunError, match=rf"{place}: is {what}; nothing in a run is"):
        Setup.of(steps=12).resume(run.path)
    assert before is None or (outside.stat().st_mtime_ns == before and outside.is_dir() == was_folder)


def test_a_run_may_be_named_by_a_link(run, tmp_path):
    (tmp_path / "link").symlink_to(run.path)
    assert Setup.of(steps=12).resume(tmp_path / "link").step == 12


def test_folders_that_are_no_steps_stay(run):
    for name in ("notes", "8x", "precious-1"):
        (run.path / "resume" / name).mkdir()
    Setup.of(steps=9).resume(run.path)
    assert {"notes", "8x", "precious-1", "9", "latest"} == {
        path.name for path in (run.path / "resume").iterdir()
    }


# -------------------------------------------------------------------- where a run may be made


def test_a_run_is_not_overwritten_unless_asked(run):
    setup, before = Setup.of(steps=2), (run.path / "model.safetensors").read_bytes()
    with pytest.raises(RunError, match=r"holds a run already; `recurra resume .*overwrit") as caught:
        setup.create(run.path, TinyJob(seed=5))
    assert "\n" not in str(caught.value)
    assert (run.path / "model.safetensors").read_bytes() == before
    new = setup.create(run.path, TinyJob(seed=5), overwrite=True)
    assert new.load_resume().step == 0
    assert new.metrics() == []
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]


def test_what_is_not_a_run_is_never_overwritten(tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.tex").write_text("x")
    (tmp_path / "file").write_text("x")
    for name, expected in (("precious", "not a run of recurra"), ("file", "a file is there")):
        for overwrite in (False, True):
            with pytest.raises(RunError, match=expected):
                check_free(tmp_path / name, overwrite)
            with pytest.raises(RunError, match=expected):
                Setup.of(steps=2).create(tmp_path / name, TinyJob(), overwrite)
    (tmp_path / "empty").mkdir()
    assert Setup.of(steps=2).create(tmp_path / "empty", TinyJob()).load_resume().step == 0


def test_nothing_is_left_where_creation_fails(tmp_path):
    def full(folder):
        (folder / "vocabulary.json").write_text("{")
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(RunError, match=r"could not create .*No space left"):
        RunDirectory.create(tmp_path / "run", {}, full, {}, state(0))
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match=r"no run can be made there \(Not a directory\)"):
        Setup.of(steps=2).create(tmp_path / "file" / "run", TinyJob())


# -------------------------------------------------------------------- a full disk


def test_disk_full_while_saving_keeps_the_last_complete_state(tmp_path, monkeypatch):
    """Every save after the first fails at another of its flushes; the first state stays and resumes."""
    setup = Setup.of(steps=20, save_every=2, evaluate_every=5)
    setup.train(tmp_path / "whole")
    real = os.fsync
    for allowed in range(8, 24, 3):
        folder, count = tmp_path / f"run{allowed}", [0]
        job = TinyJob()
        run = setup.create(folder, job)

        def fsync(descriptor, count=count, allowed=allowed):
            count[0] += 1
            if count[0] > allowed:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return real(descriptor)

        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fsync)
            with pytest.raises(
                TrainingError, match=r"could not save \(No space left on device\).*resume"
            ) as caught:
                setup.fit(run, job)
        assert "\n" not in str(caught.value)
        assert RunDirectory.open(folder).load_resume().step in (0, 2, 4)
        assert not list(folder.rglob("*.part"))
        setup.resume(folder)
        assert_same_end(tmp_path / "whole", folder)


def test_file_size_limit_while_saving_keeps_the_last_complete_state(run):
    """The same with a real limit of the operating system, on the size of a file."""
    before = (run.path / "model.safetensors").read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(
            TrainingError, match=r"could not save \(File too large\); the last complete state stays"
        ):
            Setup.of(steps=12, save_every=1).resume(run.path)
        with pytest.raises(RunError, match=r"could not create .*File too large"):
            Setup.of(steps=2).create(run.path.parent / "other", TinyJob())
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert RunDirectory.open(run.path).load_resume().step == 8
    assert (run.path / "model.safetensors").read_bytes() == before
    assert [path.name for path in run.path.parent.iterdir()] == ["run"]
    assert Setup.of(steps=12).resume(run.path).step == 12


# -------------------------------------------------------------------- damaged and foreign files


def test_what_is_no_run(tmp_path):
    (tmp_path / "file").write_text("x")
    (tmp_path / "folder").mkdir()
    for name, expected in (
        ("absent", "no such run directory"),
        ("file", "is a file"),
        ("folder", r"config.yaml: missing; .* is not a run directory"),
    ):
        with pytest.raises(RunError, match=expected) as caught:
            RunDirectory.open(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)
        assert "\n" not in str(caught.value)


FOREIGN = {
    "empty": b"",
    "garbage": b"\x00\x01\x02garbage\xff" * 50,
    "text": b"hello\n",
    "huge header": (2**62).to_bytes(8, "little") + b"{}",
    "bad header": (20).to_bytes(8, "little") + b'{"a": [1, 2, 3     ]' + b"\0" * 64,
    "deep header": (100_000).to_bytes(8, "little") + b"[" * 100_000,
    "pickle": b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x05posix\x94\x8c\x06system\x94\x93\x94.",
}


@pytest.mark.parametrize("content", list(FOREIGN))
def test_damaged_weights(run, content):
    path = run.path / "model.safetensors"
    path.write_bytes(FOREIGN[content])
    with pytest.raises(RunError, match=r"model\.safetensors: not a whole safetensors file") as caught:
        RunDirectory.open(run.path)
    assert "\n" not in str(caught.value)
    with pytest.raises(RunError, match="not a whole safetensors file"):
        run.load_weights()


def test_truncated_and_missing_weights(run):
    path = run.path / "model.safetensors"
    whole = path.read_bytes()
    for length in (len(whole) - 1, len(whole) // 2, 9, 7):
        path.write_bytes(whole[:length])
        with pytest.raises(RunError, match="not a whole safetensors file"):
            RunDirectory.open(run.path)
    path.unlink()
    with pytest.raises(RunError, match=r"model\.safetensors: missing"):
        RunDirectory.open(run.path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "expected a mapping"),
        (b"- a\n- b\n", "expected a mapping"),
        (b"a: 1\nb: [1, 2\nc: 3\n", r"config\.yaml, line \d+: not YAML"),
        (b"a: \xff\xfe\n", "not YAML"),
        (b"a: !!python/object/apply:os.system ['touch hacked']\n", "line 1: YAML tags are not read"),
        (b"[" * 3_000, "at most 32 levels"),
    ],
)
def test_damaged_config(run, content, expected):
    (run.path / "config.yaml").write_bytes(content)
    with pytest.raises(RunError, match=expected) as caught:
        RunDirectory.open(run.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("content", [None, b"", b"../../secret\n", b"99\n", b"\xff\n", b"/etc\n", b".\n"])
def test_damaged_pointer(run, content):
    pointer = run.path / "resume" / "latest"
    if content is None:
        pointer.unlink()
    else:
        pointer.write_bytes(content)
    with pytest.raises(RunError, match=r"resume/latest: "):
        Setup.of(steps=12).resume(run.path)
    assert run.load_weights()


VALUES = {
    "empty": b"",
    "garbage": b"\x00\xff{",
    "a list": b"[1, 2]",
    "deep": b"[" * 100_000,
    "cut": b'{"step": 8, "metrics_by',
    "no step": b'{"metrics_bytes": 0}',
    "step is text": b'{"step": "8", "metrics_bytes": 0}',
    "negative length": b'{"step": 8, "metrics_bytes": -1}',
    "nothing else": b'{"step": 8, "metrics_bytes": 0}',
}


@pytest.mark.parametrize("content", list(VALUES))
def test_damaged_values(run, content):
    (run.path / "resume" / "8" / "values.json").write_bytes(VALUES[content])
    with pytest.raises(RunError, match=r"values\.json") as caught:
        Setup.of(steps=12).resume(run.path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("part", "value"),
    [
        ("counters", {"step": 8}),
        ("counters", "x"),
        ("schedule", {"scale": "x", "best": None, "waited": 0}),
        ("schedule", {}),
        ("settings", None),
    ],
)
def test_damaged_parts_of_the_values(run, part, value):
    path = run.path / "resume" / "8" / "values.json"
    values = json.loads(path.read_text())
    path.write_text(json.dumps({**values, part: value}))
    with pytest.raises(RunError, match=r"resume/8: "):
        Setup.of(steps=12).resume(run.path)


def change_values(run, **changes) -> None:
    path = run.path / "resume" / run.latest / "values.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("written", ["Infinity", "-Infinity", "NaN", "1e999", "1" + "0" * 400, "1" * 5000])
def test_a_number_that_is_none(run, written):
    path = run.path / "resume" / "8" / "values.json"
    path.write_text(path.read_text().replace('"step": 8', f'"step": {written}', 1))
    with pytest.raises(RunError, match=r"values\.json: not JSON") as caught:
        Setup.of(steps=12).resume(run.path)
    assert len(str(caught.value)) < 400


def test_a_state_that_lost_a_tensor(run):
    """Also one without which training would go on, and to another end."""
    path = run.path / "resume" / "8" / "tensors.safetensors"
    whole = run.load_resume().tensors
    lost = [name for name in whole if name.startswith("optimiser.output.bias|")]
    assert lost
    save_file({name: tensor for name, tensor in whole.items() if name not in lost}, path)
    with pytest.raises(RunError, match=r"resume/8: has no tensor 'optimiser\.output\.bias\|.*saved with it"):
        Setup.of(steps=12).resume(run.path)
    save_file(whole | {"more": torch.zeros(1)}, path)
    with pytest.raises(RunError, match=r"holds a tensor 'more' that was not saved with it"):
        Setup.of(steps=12).resume(run.path)
    change_values(run, tensors=[1])
    with pytest.raises(RunError, match=r"expected the names of the tensors, got \[1\]"):
        Setup.of(steps=12).resume(run.path)


def test_another_run_in_the_place_of_the_one_that_was_opened(run):
    Setup.of(steps=3).train(run.path.parent / "other")
    run.path.rename(run.path.with_name("moved"))
    (run.path.parent / "other").rename(run.path)
    with pytest.raises(RunError, match="another run has taken its place"):
        run.lock()
    RunDirectory.open(run.path).lock()  # nothing holds it


def test_what_is_no_checkpoint_is_left_alone(run):
    for name in ("²", "007", "-1", "1" * 40, "x"):
        (run.path / "checkpoints" / f"{name}.safetensors").write_bytes(b"")
    assert list(run.checkpoints()) == [8]


def test_larger_than_the_memory(run):
    """A file with holes takes no disk."""
    for name, expected in (
        ("model.safetensors", "more than this machine's memory"),
        ("config.yaml", "at most 16,777,216 are read"),
    ):
        (run.path / name).rename(run.path.parent / name)
        with (run.path / name).open("wb") as file:
            file.truncate(1 << 42)
        with pytest.raises(RunError, match=expected):
            RunDirectory.open(run.path)
        (run.path.parent / name).replace(run.path / name)


def test_damaged_counter(run):
    path = run.path / "resume" / "8" / "values.json"
    values = json.loads(path.read_text())
    values["counters"]["epoch"] = "first"
    path.write_text(json.dumps(values))
    with pytest.raises(RunError, match=r"counters\.epoch is 'first'"):
        Setup.of(steps=12).resume(run.path)


def test_damaged_tensors(run):
    path = run.path / "resume" / "8" / "tensors.safetensors"
    whole = run.load_resume().tensors
    change_values(run, tensors=None)  # as version 0.1 wrote them, without the names
    weight = "model.lstm.weight_hh_l0"
    moment = next(name for name in whole if name.startswith("optimiser.") and whole[name].dim() == 2)
    for damage, expected in (
        ({weight: torch.zeros(2, 2)}, r"lstm\.weight_hh_l0 expected float32 \[36, 9\], got float32 \[2, 2\]"),
        ({weight: whole[weight].double()}, "expected float32 .*, got float64"),
        ({weight: None}, "has no tensor 'lstm.weight_hh_l0'"),
        ({"model.extra": torch.zeros(1)}, "holds a tensor 'extra'"),
        ({moment: torch.zeros(2, 2)}, "fits no parameter"),
        ({moment: whole[moment].double()}, r"fits no parameter .* expected float32 .*, got float64"),
        ({moment: None}, r"\|exp_avg.*' is missing"),
        (
            {moment.partition("|")[0] + "|extra": torch.zeros(1)},
            r"extra' is no part of this optimiser's state",
        ),
        ({weight: whole[weight] / 0}, r"lstm\.weight_hh_l0 holds values that are not finite"),
        ({"generator.tpu": torch.zeros(3)}, "'generator.tpu' is no generator"),
        ({f"carried.layers.{'1' * 5000}.forward.h": torch.zeros(3)}, "not the name of a state"),
        ({"optimiser.other|exp_avg": torch.zeros(1)}, "fits no parameter"),
        ({"generator.cpu": None}, r"has no tensor generator\.cpu"),
        ({"generator.cpu": torch.zeros(3)}, "no state of a generator"),
        ({"carried.layers.x.forward.h": torch.zeros(3)}, "not the name of a state"),
    ):
        save_file({name: tensor for name, tensor in (whole | damage).items() if tensor is not None}, path)
        with pytest.raises(RunError, match=expected) as caught:
            Setup.of(steps=12).resume(run.path)
        assert "\n" not in str(caught.value)
    path.write_bytes(FOREIGN["garbage"])
    with pytest.raises(RunError, match=r"tensors\.safetensors: not a whole"):
        Setup.of(steps=12).resume(run.path)
    path.unlink()
    with pytest.raises(RunError, match=r"tensors\.safetensors: missing"):
        Setup.of(steps=12).resume(run.path)


def test_damaged_metrics(run):
    path = run.path / "metrics.jsonl"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([lines[0], "not json\n", *lines[1:]]))
    with pytest.raises(RunError, match=r"metrics\.jsonl, line 2: not JSON"):
        run.metrics()
    path.write_text("[1]\n")
    with pytest.raises(RunError, match=r"line 1: expected a JSON object"):
        run.metrics()
    with pytest.raises(RunError, match="shorter than when the state was saved"):
        run.load_resume()
    path.unlink()
    assert run.metrics() == []
    with pytest.raises(RunError, match="shorter than when the state was saved"):
        run.load_resume()
