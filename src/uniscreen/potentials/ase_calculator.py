"""Any ASE calculator as a potential, in process: for peers and tests, not for speed."""

from __future__ import annotations

import hashlib
import importlib
import itertools
import operator
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from ase import Atoms
from ase.calculators.calculator import BaseCalculator
from ase.data import chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials.base import Evaluation, Potential
from uniscreen.potentials.cards import ModelCard

if TYPE_CHECKING:
    from uniscreen.structures.graph import AtomicGraph

SCHEME = "ase:"

CUTOFF = 6.0
"""Å. A calculator does not tell how far it sees; an atom with no neighbour this near is taken for isolated."""

PROPERTIES = ("energy", "forces", "stress")


class CalculatorPotential(Potential):
    """The calculator that a factory makes, asked for one structure after another.

    Energy is ASE's ``energy`` (eV): what ``get_potential_energy`` gives and models are trained on, with electronic
    smearing extrapolated to zero. Where that differs from ``free_energy``, forces are derivatives of the latter.
    Stress (Voigt, eV/Å³, tension positive) becomes 3x3. The calculator sees species, positions, cell and periodicity;
    initial magnetic moments, charges and constraints are not handed on. It computes on a device of its own choice.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Make the calculator; ``weights``, the file of its module, is that of the card.

        Raises:
            InputError: the factory does not make a calculator with energy, forces and stress.
        """
        if hashlib.sha256(weights.read_bytes()).hexdigest() != card.sha256:
            raise InputError(f"{weights} has changed since {card.name} was looked up. Start again.")
        self.card = card
        self.device = device
        self.dtype = dtype
        self.wrapped = _make(card.name)

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """Evaluate the systems of the batch one by one."""
        results = [self._evaluate(atoms, stress=stress) for atoms in _systems(graph)]
        energies, forces, stresses = zip(*results, strict=True)
        return Evaluation(
            energy=self._tensor(np.array(energies), graph),
            forces=self._tensor(np.concatenate(forces), graph),
            stress=self._tensor(np.stack(stresses), graph) if stress else None,
            magnetic_moments=None,
        )

    def _evaluate(self, atoms: Atoms, *, stress: bool) -> tuple[float, np.ndarray, np.ndarray | None]:
        atoms.calc = self.wrapped
        energy = float(atoms.get_potential_energy())
        return energy, atoms.get_forces(), atoms.get_stress(voigt=False) if stress else None

    def _tensor(self, values: np.ndarray, graph: AtomicGraph) -> torch.Tensor:
        return torch.as_tensor(values, dtype=graph.positions.dtype, device=graph.positions.device)


def calculator_model(name: str, *, trust: bool) -> tuple[ModelCard, Path]:
    """The card of ``ase:MODULE:FACTORY``, of which no more is known than its code, and the module's file.

    The module may lie in the working directory. A factory is what makes the calculator when called without arguments.

    Raises:
        InputError: it is not trusted, or there is no such module.
    """
    module, _ = _parts(name)
    if not trust:
        raise InputError(
            f"{name} runs the code of the module {module}. If you trust it, pass --trust-model-file "
            "(in Python: trust_model_file=True)."
        )
    file = _module_file(module)
    content = file.read_bytes()
    return ModelCard(
        name=name,
        aliases=(),
        architecture="ASE calculator",
        weights=str(file),
        size_bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="unknown",
        citation="unknown",
        functional="unknown",
        energy_convention="raw",
        forces="conservative",
        dtype="float64",
        cutoff=CUTOFF,
        magnetic_moments=False,
        elements=frozenset(chemical_symbols[1:]),
    ), file


def _parts(name: str) -> tuple[str, str]:
    module, _, factory = name.removeprefix(SCHEME).partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), *factory.split("."))):
        raise InputError(f"{name!r} does not name a calculator, expected {SCHEME}MODULE:FACTORY.")
    return module, factory


def _module_file(module: str) -> Path:
    """The file of a module, also of one in the working directory, which no installed module is hidden by."""
    if (here := str(Path.cwd())) not in sys.path:
        sys.path.append(here)
    try:
        spec = find_spec(module)
    except ModuleNotFoundError as error:  # a package above it
        raise InputError(f"There is no module {module}: {error}.") from error
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        raise InputError(f"There is no module {module} with a file, neither installed nor in {here}.")
    return Path(spec.origin)


def _make(name: str) -> Any:
    module, factory = _parts(name)
    try:
        namespace = importlib.import_module(module)
    except Exception as error:  # the code of the user's module
        raise InputError(f"{module} cannot be imported: {type(error).__name__}: {error}.") from error
    try:
        make = operator.attrgetter(factory)(namespace)
    except AttributeError as error:
        raise InputError(f"{name}: {error}.") from error
    try:
        calculator = make() if callable(make) else None
    except Exception as error:  # the same
        raise InputError(f"{name}, called without arguments, raises {type(error).__name__}: {error}.") from error
    if not isinstance(calculator, BaseCalculator):
        raise InputError(f"{name} is no factory of ASE calculators: called without arguments it gives {calculator!r}.")
    missing = [needed for needed in PROPERTIES if needed not in calculator.implemented_properties]
    if missing:
        raise InputError(f"{name} makes a calculator without {' and '.join(missing)}; a potential needs all three.")
    return calculator


def _systems(graph: AtomicGraph) -> list[Atoms]:
    """The systems of a batch as ASE Atoms."""
    ptr = graph.ptr.tolist()
    numbers, positions = graph.numbers.cpu().numpy(), graph.positions.detach().cpu().numpy()
    cells, pbc = graph.cells.detach().cpu().numpy(), graph.pbc.cpu().numpy()
    return [
        Atoms(numbers[start:stop], positions[start:stop], cell=cells[i], pbc=pbc[i])
        for i, (start, stop) in enumerate(itertools.pairwise(ptr))
    ]
