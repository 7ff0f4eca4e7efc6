"""The contract that every potential keeps."""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from ase import Atoms
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError, IsolatedAtomsError, UnsupportedElementError
from uniscreen.potentials.cost import Cost, LargestCost
from uniscreen.structures.graph import AtomicGraph

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from uniscreen.potentials.calculator import PotentialCalculator
    from uniscreen.potentials.cards import ModelCard


class Evaluation(NamedTuple):
    """What a potential says about a batch of B systems with N atoms; detached tensors.

    ``energy`` (B,) eV, total; ``forces`` (N, 3) eV/Å; ``stress`` (B, 3, 3) eV/Å³, tension positive, or None where it
    was not asked for; ``magnetic_moments`` (N,) μ_B, or None where the model has none.

    Of a committee of n also how far its members are apart, sample standard deviations (divided by n - 1):
    ``energy_std`` (B,) eV/atom; ``force_std`` (N,) eV/Å, the root of the summed variances of the three components. By
    the latter, divided by n, DP-GEN chooses what to label: Zhang et al., Comput. Phys. Commun. 253, 107206 (2020).
    """

    energy: Tensor
    forces: Tensor
    stress: Tensor | None
    magnetic_moments: Tensor | None
    energy_std: Tensor | None = None
    force_std: Tensor | None = None


class Prediction(NamedTuple):
    """A differentiable potential's own output, still attached: energy (B,) eV, magnetic moments (N,) μ_B or None."""

    energy: Tensor
    magnetic_moments: Tensor | None = None


BATCH_ATOMS = 1000
"""More in one batch take memory and no less time: of 512-atom silicon CHGNet takes 1.3 s each, alone and by four."""


CUDA_OUT_OF_MEMORY = "CUDA out of memory"
"""What torch's error says then, also where TorchScript has made a plain RuntimeError of it."""


@contextmanager
def naming_out_of_memory() -> Iterator[None]:
    """Raise torch.OutOfMemoryError also where TorchScript, which layers of MACE run in, raises a plain RuntimeError.

    https://github.com/pytorch/pytorch/issues/148642
    """
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if CUDA_OUT_OF_MEMORY not in str(error):
            raise
        raise torch.OutOfMemoryError(str(error)) from None


class SystemResult(NamedTuple):
    """One structure's share of an Evaluation, as NumPy: shapes (), (n, 3), (3, 3), (n,).

    Of a committee also the standard deviations of its members: of the energy, eV/atom, and of the force on each atom
    (n,), eV/Å.
    """

    energy: float
    forces: np.ndarray
    stress: np.ndarray
    magnetic_moments: np.ndarray | None
    energy_std: float | None = None
    force_std: np.ndarray | None = None


class Potential(ABC):
    """Anything that evaluates atoms. Subclasses supply ``evaluate_graph``; see ``DifferentiablePotential``."""

    card: ModelCard
    device: torch.device

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.card.name} on {self.device}>"

    @abstractmethod
    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """Evaluate a batch built with this potential's cutoff and checked by ``check``. Does not change the graph."""

    @property
    def cost(self) -> Cost | LargestCost:
        """What evaluating a system takes."""
        return Cost()

    def graph(self, structures: Sequence[Atoms]) -> AtomicGraph:
        """Build the batch that this potential evaluates, on its device.

        Raises:
            InputError: ``structures`` are no list of ASE Atoms.
            UnsupportedElementError: an element that the model does not know.
            IsolatedAtomsError: an atom without a neighbour within the cutoff.
        """
        _require_atoms(structures)
        graph = AtomicGraph.from_atoms(structures, self.card.cutoff, self.device)
        self.check(graph)
        return graph

    def evaluate(self, structures: Sequence[Atoms], *, batch_size: int = 16) -> list[SystemResult]:
        """Energy, forces, stress and magnetic moments of each structure, in order.

        A batch has ``batch_size`` structures at most, and BATCH_ATOMS atoms if there are several structures in
        it; where the device's memory does not suffice, batches of half as many follow.

        Raises:
            InputError, UnsupportedElementError, IsolatedAtomsError: as ``graph``; the index of the structure is named.
            torch.OutOfMemoryError: the memory does not suffice for a single structure.
        """
        _require_atoms(structures)
        results: list[SystemResult] = []
        while len(results) < len(structures):
            start = len(results)
            atoms = np.cumsum([len(one) for one in structures[start : start + batch_size]])
            n = max(1, int(np.count_nonzero(atoms <= BATCH_ATOMS)))
            try:
                graph = AtomicGraph.from_atoms(structures[start : start + n], self.card.cutoff, self.device)
                self.check(graph, first=start)
                results += split(graph, self.evaluate_graph(graph))
            except torch.OutOfMemoryError:
                if n == 1:
                    raise
                batch_size = n // 2
                torch.cuda.empty_cache()
        return results

    def calculator(self) -> PotentialCalculator:
        """An ASE calculator of this potential."""
        from uniscreen.potentials.calculator import PotentialCalculator

        return PotentialCalculator(self)

    def check(self, graph: AtomicGraph, *, first: int = 0) -> None:
        """Raise the StructureError of the first system that cannot be evaluated; systems count from ``first``."""
        known = torch.zeros(len(chemical_symbols), dtype=torch.bool, device=graph.numbers.device)
        known[[atomic_numbers[symbol] for symbol in self.card.elements]] = True
        unknown = ~known[graph.numbers]
        if bool(unknown.any()):
            atom = int(torch.nonzero(unknown)[0])
            raise UnsupportedElementError(
                f"structure {first + int(graph.system[atom])} holds {chemical_symbols[int(graph.numbers[atom])]}, "
                f"which {self.card.name} was not trained on"
            )
        isolated = graph.isolated_atoms()
        if bool(isolated.any()):
            atom = int(torch.nonzero(isolated)[0])
            system = int(graph.system[atom])
            raise IsolatedAtomsError(
                f"atom {atom - int(graph.ptr[system])} of structure {first + system} has no neighbour within "
                f"{self.card.cutoff:g} Å, the cutoff of {self.card.name}"
            )


class DifferentiablePotential(Potential):
    """A potential that is a differentiable energy; forces and stress are derived here, once for every model."""

    @abstractmethod
    def predict(self, graph: AtomicGraph) -> Prediction:
        """Total energies, differentiable with respect to ``graph.positions`` and ``graph.cells``."""

    @naming_out_of_memory()
    @torch.enable_grad()
    def derivatives(self, graph: AtomicGraph, *, stress: bool = True, create_graph: bool = False) -> Evaluation:
        """Energy, forces F = -dE/dx and stress σ = (1/V) dE/dε with a symmetric strain ε; the energy is attached.

        ``create_graph`` leaves forces and stress attached too, so that a loss made of them can be differentiated by
        the parameters of the model. The strain enters as x -> x (1 + ε), h -> h (1 + ε) at ε = 0: Knuth et al.,
        Comput. Phys. Commun. 190, 33 (2015), eq. 9.
        """
        positions = graph.positions.detach().requires_grad_(True)
        strain = torch.zeros_like(graph.cells, requires_grad=stress)
        prediction = self.predict(graph.strained(positions, strain))
        inputs = [positions, strain] if stress else [positions]
        gradients = torch.autograd.grad(prediction.energy.sum(), inputs, create_graph=create_graph)
        return Evaluation(
            energy=prediction.energy.to(graph.positions.dtype),
            forces=-gradients[0],
            stress=gradients[1] / graph.volumes[:, None, None] if stress else None,
            magnetic_moments=prediction.magnetic_moments,
        )

    def evaluate_graph(self, graph: AtomicGraph, *, stress: bool = True) -> Evaluation:
        """The energy and its derivatives, detached."""
        attached = self.derivatives(graph, stress=stress)
        return Evaluation(*(None if value is None else value.detach() for value in attached))  # type: ignore[arg-type]


def _require_atoms(structures: Sequence[Atoms]) -> None:
    """Refuse a structure that is not in a list, and one of another kind, such as pymatgen's."""
    for index, one in enumerate(structures):
        if not isinstance(one, Atoms):
            raise InputError(
                f"structure {index} of the {type(structures).__name__} given is of the type {type(one).__name__}; "
                "expected a list of ASE Atoms: [atoms], or [structure.to_ase_atoms()] for one of pymatgen."
            )


def split(graph: AtomicGraph, evaluation: Evaluation) -> list[SystemResult]:
    """The evaluation of a batch as one result a system."""
    ptr = graph.ptr.tolist()
    energy = evaluation.energy.cpu().numpy()
    forces = evaluation.forces.cpu().numpy()
    assert evaluation.stress is not None
    stress = evaluation.stress.cpu().numpy()
    moments = None if evaluation.magnetic_moments is None else evaluation.magnetic_moments.cpu().numpy()
    energy_std = None if evaluation.energy_std is None else evaluation.energy_std.cpu().numpy()
    force_std = None if evaluation.force_std is None else evaluation.force_std.cpu().numpy()
    return [
        SystemResult(
            energy=float(energy[i]),
            forces=forces[start:stop],
            stress=stress[i],
            magnetic_moments=None if moments is None else moments[start:stop],
            energy_std=None if energy_std is None else float(energy_std[i]),
            force_std=None if force_std is None else force_std[start:stop],
        )
        for i, (start, stop) in enumerate(itertools.pairwise(ptr))
    ]
