"""One training on several processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ase.io import write

from finetuning_frames import labelled, rattled
from uniscreen import load_potential
from uniscreen.errors import TrainingProcessError
from uniscreen.training.finetuning import finetune
from uniscreen.training.recipe_file import checked

MODEL = "chgnet-0.3.0"


@pytest.fixture(scope="module")
def train(loaded, tmp_path_factory):
    """Frames of 54 atoms, of which two are a pass."""
    path = tmp_path_factory.mktemp("frames") / "train.extxyz"
    write(path, labelled([atoms.repeat(3) for atoms in rattled(8)], loaded(MODEL)), format="extxyz")
    return path


def recipe(train, **sections):
    quick = {"epochs": 2, "batch_size": 6}
    data = {"train": str(train), "split": {"by": "frame"}}
    return checked({"model": MODEL, "data": data, "optimiser": quick, "checks": {"run": False}} | sections, "recipe")


def children():
    """The processes of a training that this one has started."""
    pids = [int(pid) for tasks in Path("/proc/self/task").glob("*/children") for pid in tasks.read_text().split()]
    return [pid for pid in pids if b"uniscreen.processes" in Path(f"/proc/{pid}/cmdline").read_bytes()]


@pytest.mark.slow
@pytest.mark.parametrize("strategy", [{"kind": "lora", "rank": 2}, {"kind": "scratch"}])
def test_the_weights_do_not_depend_on_the_number_of_processes(train, tmp_path, strategy):
    """Nor where training begins once more on all frames, as it does with as few."""
    replayed = recipe(train, replay={"structures": str(train), "share": 0.4}, strategy=strategy)

    def others_and_weights(workers):
        others = []
        out = tmp_path / str(workers)
        finetune(replayed, out, device="cpu", workers=workers, on_epoch=lambda _: others.append(len(children())))
        return max(others), load_potential(str(out), device="cpu").model.state_dict()

    none, alone = others_and_weights(1)
    two, shared = others_and_weights(3)
    assert (none, two) == (0, 2)
    assert not children()
    assert all(torch.equal(alone[name], shared[name]) for name in alone)
    card = load_potential(str(tmp_path / "1"), device="cpu").card
    if strategy["kind"] == "scratch":  # its energies are counted as those of no functional that there are references of
        assert (card.functional, card.reference_shifts) == ("unknown", ())
    else:
        assert card.functional == "PBE"
        assert card.reference_shifts


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_training_with_the_reason(train, tmp_path):
    def kill(_):
        for pid in children():
            os.kill(pid, signal.SIGKILL)

    with pytest.raises(TrainingProcessError, match=r"SIGKILL.*--workers 1.*The same command continues"):
        finetune(recipe(train), tmp_path / "run", device="cpu", workers=2, on_epoch=kill)
    finetune(recipe(train), tmp_path / "run", device="cpu", workers=2)
    assert (tmp_path / "run" / "summary.json").is_file()


SCRIPT = """
import sys
import uniscreen
settings = {"optimiser.epochs": 1, "ensemble.members": 2, "checks.run": False, "data.split.by": "frame"}
uniscreen.finetune("chgnet-quick", "run", train=sys.argv[1], settings=settings, workers=2)
print("done")
"""


@pytest.mark.slow
def test_a_script_that_is_not_guarded_trains_an_ensemble(train, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT, encoding="utf-8")
    (tmp_path / "chgnet.py").write_text("raise SystemExit('not the package')")
    result = subprocess.run(
        [sys.executable, "-P", "script.py", str(train)], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert result.stdout == "done\n", result.stderr
