"""Compute the properties of sodium chloride that `uniscreen benchmark` asks potentials about, and write the file.

    python data/dft_properties.py nacl --python /usr/bin/python3

The settings are those of the set's labels, `gpaw.yaml`; cells of another size have k-points as dense. The structures
and the fits are those that potentials are measured with. A stopped run continues; the steps leave `properties-label/`
(not kept in the repository), and write `properties.toml`. Phonons need phonopy.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from ase.build import bulk
from ase.io import write

from uniscreen.benchmarking.physics import defects, elastic, equation_of_state, read_properties
from uniscreen.benchmarking.physics.phonons import Lattice
from uniscreen.benchmarking.physics.properties import Surface, Vacancy
from uniscreen.training.labelling import read_label_settings, run_labelling

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ase import Atoms

HERE = Path(__file__).resolve().parent

STRAIN, DISPLACEMENT = 0.01, 0.03
"""Twice and three times (Å) those of potentials, whose stresses and forces have no error of self-consistency."""

VACANCY = Vacancy(supercell=(1, 1, 1), removed=(0, 1), relaxed=False)
SURFACE = Surface(miller=(1, 0, 0), layers=2, vacuum_A=10.0, relaxed=False)
POINTS = ("G", "X")
"""What the cubic cell of 8 atoms holds without interpolation."""


@dataclass(frozen=True)
class Start:
    """A polymorph: its structure type here and in ASE, an edge (Å) near that at rest, and its k-points."""

    prototype: str
    ase_name: str
    edge: float
    kpts: int

    def crystal(self, volume: float | None = None) -> Atoms:
        """Return the cubic cell, at rest where its volume (Å³) is given."""
        edge = self.edge if volume is None else volume ** (1 / 3)
        return bulk("NaCl", self.ase_name, a=edge, cubic=True)


STARTS = (
    Start("rocksalt", "rocksalt", 5.69, 2),
    Start("caesium-chloride", "cesiumchloride", 3.49, 4),
    Start("zincblende", "zincblende", 6.24, 2),
)


@dataclass(frozen=True)
class Calculator:
    """DFT as the labels of a set have it."""

    folder: Path
    python: Path

    def labels(self, name: str, frames: Sequence[Atoms], kpts: Sequence[int]) -> list[dict[str, np.ndarray]]:
        """Return energy (eV), forces (eV/Å) and stress (eV/Å³) of each frame; computed once."""
        settings = read_label_settings(self.folder / "gpaw.yaml")
        parameters = settings.parameters | {"kpts": {"size": list(kpts)}}
        source = self.folder / "properties-label" / f"{name}.extxyz"
        source.parent.mkdir(exist_ok=True)
        write(source, list(frames))
        run = run_labelling(
            source,
            settings.model_copy(update={"parameters": parameters}),
            source.with_name(f"{name}-labelled.extxyz"),
            python=self.python,
            on_progress=lambda row, done, total: print(f"{name} {done}/{total} {row.status} {row.seconds:.0f} s"),
        )
        assert not run.failed, run.failed
        return [{key: np.array(value) for key, value in row.labels.items()} for row in run.rows if row.labels]


def equations_of_state(dft: Calculator) -> dict[str, dict[str, float]]:
    """Return volume (Å³) of the cubic cell, bulk modulus (GPa) and energy (eV/atom) at rest, by polymorph."""
    found = {}
    for start in STARTS:
        crystals = equation_of_state.scaled(start.crystal())
        labels = dft.labels(f"volumes-{start.prototype}", crystals, [start.kpts] * 3)
        volumes, energies = [one.cell.volume for one in crystals], [float(one["energy"]) for one in labels]
        volume, modulus = equation_of_state.fit(volumes, energies)
        pressures = [-np.trace(one["stress"]) / 3 for one in labels]
        without_stress = float(np.interp(0.0, pressures[::-1], volumes[::-1]))
        lowest = float(np.polyval(np.polyfit(volumes, energies, 4), volume)) / len(crystals[0])
        found[start.prototype] = {"volume": volume, "modulus": modulus, "energy": lowest, "stress": without_stress}
        print(start.prototype, found[start.prototype])
    return found


def at_rest(dft: Calculator, crystal: Atoms) -> dict[str, object]:
    """Return what is derived from the rocksalt crystal at rest: elastic constants, phonons, and excess energies."""
    strained = elastic.strained(crystal, STRAIN)
    lattice = Lattice(crystal, (1, 1, 1), DISPLACEMENT, given=crystal)
    displaced = lattice.displaced()
    frames = [crystal, *strained, *displaced, defects.vacated(crystal, VACANCY)]
    rest, *labels = dft.labels("at-rest", frames, [2, 2, 2])
    tensor = elastic.fit([one["stress"] for one in labels[: len(strained)]], STRAIN)
    print("elastic constants", np.round(tensor, 2).tolist())
    lattice.take([one["forces"] for one in labels[len(strained) : -1]])
    slab = defects.cut(crystal, SURFACE)
    (cut,) = dft.labels("slab", [slab], [2, 2, 1])
    per_atom = float(rest["energy"]) / len(crystal)
    return {
        "c11": float(np.mean(np.diag(tensor)[:3])),
        "c12": float(np.mean(tensor[[0, 0, 1], [1, 2, 2]])),
        "c44": float(np.mean(np.diag(tensor)[3:])),
        "frequencies": {label: lattice.frequencies(label) for label in POINTS},
        "vacancy": float(labels[-1]["energy"]) - len(frames[-1]) * per_atom,
        "surface": defects.surface_energy(float(cut["energy"]) - len(slab) * per_atom, slab),
    }


def write_properties(folder: Path, states: dict[str, dict[str, float]], rest: dict[str, object]) -> None:
    """Write `properties.toml`, and read it as a potential's user would."""
    versions = json.loads((folder / "properties-label" / "at-rest-labelled-label" / "provenance.json").read_text())
    source = json.dumps(f"GPAW {versions['versions']['gpaw']}, PBE, gpaw.yaml; made by data/dft_properties.py")
    lines = [
        "# Sodium chloride by the DFT of this set's labels. Written by data/dft_properties.py.",
        "# Energies, as those of the labels, are of a fixed cutoff; stresses are corrected for it, and by them",
        f"# rocksalt is at rest at {states['rocksalt']['stress'] / 8:.3f} Å³/atom.",
    ]
    for start in STARTS:
        state, name = states[start.prototype], f"crystals.{start.prototype}"
        n = len(start.crystal())
        lines += ["", f"[{name}]", f'prototype = "{start.prototype}"', 'formula = "NaCl"']
        lines += [f"a_A = {state['volume'] ** (1 / 3):.4f}", "", f"[{name}.equation_of_state]"]
        lines += [f"volume_A3_per_atom = {state['volume'] / n:.3f}", f"bulk_modulus_GPa = {state['modulus']:.2f}"]
        lines += [f"source = {source}"]
        if start is STARTS[0]:
            lines += _of_rocksalt(name, rest, source)
    above = [1000 * (states[start.prototype]["energy"] - states["rocksalt"]["energy"]) for start in STARTS]
    lines += ["", "[[polymorphs]]", f"crystals = {json.dumps([start.prototype for start in STARTS])}"]
    lines += [f"energies_meV_per_atom = {_listed(above, 1)}", f"source = {source}"]
    lines += ["", "[dynamics]", 'crystal = "rocksalt"', "supercell = [1, 1, 1]", "ps = 1.0"]
    lines += ["", "[speed]", 'crystal = "rocksalt"', "supercell = [2, 2, 2]"]
    path = folder / "properties.toml"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    read_properties(path)


def _of_rocksalt(name: str, rest: dict[str, object], source: str) -> list[str]:
    frequencies = rest["frequencies"]
    assert isinstance(frequencies, dict)
    constants = ", ".join(f"{key} = {rest[key]:.2f}" for key in ("c11", "c12", "c44"))
    return [
        *("", f"[{name}.elastic]", f"constants_GPa = {{ {constants} }}", f"source = {source}"),
        *("", f"[{name}.phonons]", "supercell = [1, 1, 1]", f"displacement_A = {DISPLACEMENT}"),
        f"source = {source}",
        *(f"frequencies_THz.{label} = {_listed(values, 3)}" for label, values in frequencies.items()),
        *("", f"[{name}.vacancy] # a neighbouring pair", f"supercell = {list(VACANCY.supercell)}"),
        *(f"removed = {list(VACANCY.removed)}", "relaxed = false", f"formation_energy_eV = {rest['vacancy']:.4f}"),
        *(f"source = {source}", "", f"[[{name}.surfaces]]", f"miller = {list(SURFACE.miller)}"),
        *(f"layers = {SURFACE.layers}", f"vacuum_A = {SURFACE.vacuum_A}", "relaxed = false"),
        *(f"energy_J_per_m2 = {rest['surface']:.4f}", f"source = {source}"),
    ]


def _listed(values: Sequence[float], digits: int) -> str:
    return f"[{', '.join(f'{value:.{digits}f}' if value else '0.0' for value in values)}]"


def main() -> None:
    """Compute the properties of a set."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("set", choices=["nacl"])
    parser.add_argument("--python", type=Path, default=Path("/usr/bin/python3"), help="the interpreter that has GPAW")
    options = parser.parse_args()
    dft = Calculator(HERE / options.set, options.python)
    states = equations_of_state(dft)
    write_properties(dft.folder, states, at_rest(dft, STARTS[0].crystal(states["rocksalt"]["volume"])))


if __name__ == "__main__":
    main()
