"""A potential in another process: the same numbers, and every way in which that process can fail."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from ase.build import bulk
from ase.calculators.lj import LennardJones
from noble_gases import CARD, HERE, OPTIONS, start

from uniscreen.errors import BackendError, BackendUnavailableError, InputError
from uniscreen.potentials.isolated import worker
from uniscreen.potentials.isolated.potential import IsolatedPotential, TimeLimits
from uniscreen.potentials.isolated.program import Program
from uniscreen.potentials.testing import check_potential
from uniscreen.relaxation.inflight import relax
from uniscreen.relaxation.result import RelaxationSettings

if TYPE_CHECKING:
    from ase import Atoms

    from uniscreen.potentials.base import Evaluation
    from uniscreen.structures.graph import AtomicGraph

ARGON = bulk("Ar", "fcc", a=5.4)
PRINTS, HANGS, RAISES, DIES, WRITES_GARBAGE = (bulk(symbol, "fcc", a=5.4) for symbol in ("He", "Ne", "Kr", "Xe", "Rn"))


@pytest.fixture(scope="module")
def faulty() -> IsolatedPotential:
    return start("faulty", limits=TimeLimits(batch=1.5, atom=0.0))


def energy(potential: IsolatedPotential, *structures: Atoms) -> float:
    return sum(result.energy for result in potential.evaluate(structures))


def exists(pid: int) -> bool:
    """Whether there is such a process, a dead one that nobody waited for included."""
    return Path(f"/proc/{pid}").exists()


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not exists(pid)


def test_numbers_are_those_of_the_same_program_in_this_process() -> None:
    structures = [bulk("Ar", "fcc", a=5.2, cubic=True), bulk("Kr", "hcp", a=3.9), bulk("Ar", "bcc", a=4.1) * (2, 1, 1)]
    slab = bulk("Ne", "fcc", a=4.6, cubic=True)
    slab.pbc = [True, True, False]
    slab.positions += [30.0, -20.0, 10.0]
    for seed, atoms in enumerate([*structures, slab]):
        atoms.rattle(0.1, seed=seed)
    parameters = {"epsilon": OPTIONS["epsilon_eV"], "sigma": OPTIONS["sigma_angstrom"]}
    for atoms, result in zip([*structures, slab], start("lennard_jones").evaluate([*structures, slab]), strict=True):
        atoms.calc = LennardJones(**parameters, rc=8.0, ro=6.0, smooth=True)
        assert result.energy == atoms.get_potential_energy()
        np.testing.assert_array_equal(result.forces, atoms.get_forces())
        np.testing.assert_array_equal(result.stress, atoms.get_stress(voigt=False))
        assert result.magnetic_moments is None


def test_it_keeps_the_contract() -> None:
    failed = [result for result in check_potential(start("lennard_jones")) if result.status != "passed"]
    assert failed == []


def test_a_backend_may_print(faulty: IsolatedPotential) -> None:
    assert energy(faulty, PRINTS) == energy(faulty, ARGON)


def test_an_exception_is_an_error_of_its_batch_and_the_worker_stays(faulty: IsolatedPotential) -> None:
    expected, pid = energy(faulty, ARGON), faulty.worker_pid
    with pytest.raises(BackendError, match=r"^noble-gases: ArithmeticError: too heavy for me$"):
        energy(faulty, ARGON, RAISES)
    assert (energy(faulty, ARGON), faulty.worker_pid) == (expected, pid)


@pytest.mark.parametrize(
    ("structure", "message"),
    [
        (DIES, r"was ended by SIGSEGV.*about to die.*\(on a batch of 2 atoms in 2 structures\)"),
        (HANGS, r"did not answer within 1.5 s.*about to hang"),
        (WRITES_GARBAGE, "wrote something that is not an answer"),
    ],
    ids=["dies", "hangs", "writes garbage"],
)
def test_a_failed_worker_is_an_error_of_its_batch_and_is_replaced(
    structure: Atoms, message: str, faulty: IsolatedPotential
) -> None:
    expected, pid = energy(faulty, ARGON), faulty.worker_pid
    with pytest.raises(BackendError, match=rf"(?s)^The worker of noble-gases {message}"):
        energy(faulty, ARGON, structure)
    assert not exists(pid)
    assert energy(faulty, ARGON) == expected
    assert faulty.worker_pid != pid


def test_a_worker_that_died_between_batches_is_replaced(faulty: IsolatedPotential) -> None:
    expected, pid = energy(faulty, ARGON), faulty.worker_pid
    os.kill(pid, signal.SIGKILL)
    os.waitid(os.P_PID, pid, os.WEXITED | os.WNOWAIT)  # it is dead, but not reaped
    assert energy(faulty, ARGON) == expected
    assert not exists(pid)


def test_ctrl_c_leaves_no_stale_answer() -> None:
    potential = start("faulty")
    expected, pid = energy(potential, ARGON), potential.worker_pid

    def interrupt(_signal: int, _frame: object) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.5)
        with pytest.raises(KeyboardInterrupt):
            energy(potential, HANGS)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert not exists(pid)
    assert energy(potential, ARGON) == expected


@pytest.mark.parametrize("name", ["energy", "forces", "stress"])
def test_an_incomplete_answer_is_refused(
    name: str,
) -> None:
    with pytest.raises(BackendError, match=rf"gave nothing as {name}, expected floats"):
        energy(start("faulty", leave_out=name), ARGON)


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker, "PROTOCOL", 3)
    with pytest.raises(BackendUnavailableError, match="the worker speaks protocol 2, uniscreen protocol 3"):
        start("lennard_jones")


def test_a_model_that_cannot_be_loaded_says_why() -> None:
    with pytest.raises(BackendUnavailableError, match="cannot load the model: OSError: no such parameters"):
        start("faulty", fail="no such parameters")
    with pytest.raises(BackendUnavailableError, match="cannot load the model: FileNotFoundError"):
        start("absent")


def test_a_python_that_is_not_there_is_named(tmp_path: Path) -> None:
    program = Program(tmp_path / "python", HERE / "lennard_jones_backend.py")
    with pytest.raises(BackendUnavailableError, match=rf"cannot be started: .*{tmp_path / 'python'}"):
        IsolatedPotential(CARD, tmp_path, torch.device("cpu"), torch.float64, program=program)


def test_a_model_that_contradicts_its_card_is_refused() -> None:
    with pytest.raises(InputError, match="do not know H, Au, which its card lists"):
        start("lennard_jones", card=replace(CARD, elements=frozenset({"Ar", "Au", "H"})))
    with pytest.raises(InputError, match="have a cutoff of 8 Å, expected 6 Å"):
        start("lennard_jones", card=replace(CARD, cutoff=6.0))


def test_the_worker_ends_with_the_potential() -> None:
    potential = start("lennard_jones")
    pid = potential.worker_pid
    assert exists(pid)
    del potential
    gc.collect()
    assert not exists(pid)


FORK = """
import os, sys
sys.path[:0] = {folders!r}
from ase.build import bulk
from noble_gases import start
potential, argon = start("lennard_jones"), [bulk("Ar", "fcc", a=5.4)]
first, expected = potential.worker_pid, potential.evaluate(argon)[0].energy
child = os.fork()
if child == 0:
    same = potential.evaluate(argon)[0].energy == expected
    sys.exit(0 if same and potential.worker_pid != first else "no worker of its own")
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(potential.evaluate(argon)[0].energy == expected, potential.worker_pid == first)
"""


def test_a_forked_process_leaves_the_worker_alone_and_starts_its_own() -> None:
    folders = [str(HERE), str(HERE.parents[1])]
    done = subprocess.run(
        [sys.executable, "-c", FORK.format(folders=folders)], capture_output=True, text=True, timeout=100
    )
    assert done.stdout.split() == ["0", "True", "True"], done.stderr


ORPHAN = """
import sys, time
sys.path[:0] = {folders!r}
from ase.build import bulk
from noble_gases import start
potential = start("faulty")
print(potential.worker_pid, flush=True)
if {hang}:
    potential.evaluate([bulk("Ne", "fcc", a=5.4)])
time.sleep(1000)
"""


@pytest.mark.parametrize("hang", [False, True], ids=["idle", "hanging"])
def test_the_worker_ends_with_a_parent_that_is_killed(hang: bool) -> None:
    folders = [str(HERE), str(HERE.parents[1])]  # with the modules that tests share
    code = ORPHAN.format(folders=folders, hang=hang)
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    assert exists(pid)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    assert gone_within(pid, 20)


def test_the_worker_inherits_nothing_that_is_open_here(tmp_path: Path) -> None:
    with (tmp_path / "results").open("wb") as file:
        os.set_inheritable(file.fileno(), True)
        first, second = start("lennard_jones"), start("lennard_jones")
        opened = {str(path.readlink()) for path in Path(f"/proc/{second.worker_pid}/fd").iterdir()}
        theirs = {str(path.readlink()) for path in Path(f"/proc/{first.worker_pid}/fd").iterdir()}
    assert str(tmp_path / "results") not in opened
    assert {name for name in opened & theirs if name.startswith(("pipe:", "socket:"))} == set()


def test_a_structure_that_kills_the_worker_fails_alone(faulty: IsolatedPotential) -> None:
    argon = bulk("Ar", "fcc", a=5.6)
    first, killer, last = relax(faulty, [argon, DIES, bulk("Ar", "hcp", a=3.9)])
    assert (first.status, killer.status, last.status) == ("ok", "failed", "ok")
    assert killer.reason.startswith("BackendError: The worker of noble-gases was ended by SIGSEGV")
    (alone,) = relax(faulty, [argon])
    assert first.energy == pytest.approx(alone.energy, abs=1e-9)


@pytest.mark.parametrize("way", ["raises", "in_torchscript", "is_killed"])
def test_a_worker_out_of_memory_gets_smaller_batches(way: str, monkeypatch: pytest.MonkeyPatch) -> None:
    potential, sizes = start("faulty", most_atoms=4, **{way: True}), []
    evaluate = potential.evaluate_graph

    def counted(graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        sizes.append(len(graph.numbers))
        return evaluate(graph, stress=stress)

    monkeypatch.setattr(potential, "evaluate_graph", counted)
    argon = bulk("Ar", "fcc", a=5.4) * (2, 1, 1)
    argon.rattle(0.1)
    results = relax(potential, [argon] * 4, RelaxationSettings(fmax=0.001), limit=1e6)
    assert [result.status for result in results] == ["ok"] * 4
    assert sizes.count(8) == 1
    assert max(sizes[1:]) == 4
    assert sizes.count(4) > 4  # and no smaller ones than need be


@pytest.mark.parametrize("in_torchscript", [False, True])
def test_a_structure_too_large_for_a_worker_says_so(in_torchscript: bool) -> None:
    (result,) = relax(
        start("faulty", most_atoms=4, in_torchscript=in_torchscript), [bulk("Ar", "fcc", a=5.4) * (5, 1, 1)]
    )
    assert result.reason == "its 5 atoms need more memory than the device has"


def test_a_backend_that_cannot_start_again_ends_the_work(tmp_path: Path) -> None:
    """Else every structure left would be recorded as failed, although nothing is wrong with it."""
    for name in ("faulty", "lennard_jones"):
        shutil.copy(HERE / f"{name}_backend.py", tmp_path)
    potential = start(tmp_path / "faulty_backend.py")
    (tmp_path / "faulty_backend.py").unlink()
    with pytest.raises(BackendUnavailableError, match=r"cannot load the model: .*faulty_backend\.py"):
        relax(potential, [ARGON, DIES, ARGON])
