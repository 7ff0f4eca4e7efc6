"""CHGNet (Deng et al. 2023): the weights and layers of the chgnet package on uniscreen's batched graphs."""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import torch

from uniscreen.potentials.base import Prediction
from uniscreen.potentials.trainable import TrainablePotential, by_atomic_number

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.structures.graph import AtomicGraph


class CHGNetPotential(TrainablePotential):
    """CHGNet behind the contract: total energy in eV and the magnitude of each atom's magnetic moment in μ_B."""

    blocks: ClassVar = {
        "embedding": (
            "atom_embedding",
            "bond_basis_expansion",
            "bond_embedding",
            "bond_weights_ag",
            "bond_weights_bg",
            "angle_basis_expansion",
            "angle_embedding",
        ),
        "interaction": ("atom_conv_layers", "bond_conv_layers", "angle_layers"),
        "readout": ("site_wise", "readout_norm", "pooling", "mlp"),
    }

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        super().__init__(card, weights, device, dtype)
        self.bond_cutoff = float(self.model.graph_converter.bond_graph_cutoff)

    @classmethod
    def read(cls, card: ModelCard, weights: Path) -> tuple[Any, Tensor]:
        """The network in a file of the chgnet package; its composition model is the reference energies."""
        content = torch.load(weights, map_location="cpu", weights_only=True)["model"]
        state = dict(content["state_dict"])
        energies = state.pop("composition_model.fc.weight")[0].tolist()
        # 0.2.0 was trained with a bias in its output layers, which later versions dropped.
        model = cls.build(content["model_args"] | {"mlp_out_bias": card.name == "chgnet-0.2.0"})
        model.load_state_dict(state)
        return model, by_atomic_number(dict(enumerate(energies, start=1)))

    @staticmethod
    def build(architecture: Mapping[str, Any]) -> Any:
        """A network by the arguments of chgnet's constructor, without a composition model."""
        with contextlib.redirect_stdout(io.StringIO()):  # the constructor prints
            from chgnet.model import CHGNet

            return CHGNet(**{**architecture, "composition_model": None})

    def architecture(self) -> dict[str, Any]:
        """The arguments that chgnet's constructor was given."""
        return dict(self.model.model_args)

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Run CHGNet's layers on the batch."""
        from chgnet.model.model import BatchedGraph

        bases = self._bases(graph)
        n_pairs = graph.edge_index.shape[1] // 2
        batch = BatchedGraph(
            atomic_numbers=graph.numbers,
            bond_bases_ag=bases.atom_graph,
            bond_bases_bg=bases.bond_graph,
            angle_bases=bases.angles,
            batched_atom_graph=graph.edge_index.T,
            batched_bond_graph=bases.triplets,
            atom_owners=graph.system,
            directed2undirected=torch.arange(n_pairs, device=self.device).repeat(2),
            atom_positions=(),
            strains=(),
            volumes=(),
        )
        with _unchanged(self.model.bond_conv_layers, _pairs_without_angles(graph, bases.triplets)):
            output = self.model._compute(batch, compute_magmom=True)
        energy = (output["e"] * graph.n_atoms).double() + self.reference_energy(graph)
        return Prediction(energy=energy, magnetic_moments=torch.cat(output["m"]))

    def _bases(self, graph: AtomicGraph) -> _Bases:
        """Expand bond lengths and angles.

        This is done in float64 and then rounded: the cutoff polynomial cancels large terms and the arc cosine is
        steep near 0 and 180°, so that float32 would magnify its rounding into forces.
        """
        lengths = graph.edge_vectors.norm(dim=1)
        n_pairs = len(lengths) // 2
        pair_lengths = lengths[:n_pairs]
        edge_a, edge_b = _edge_pairs(graph.edge_index[0], lengths.detach() < self.bond_cutoff, len(graph.numbers))
        directions = graph.edge_vectors / lengths[:, None]
        cosine = (directions[edge_a] * directions[edge_b]).sum(dim=1) * (1 - 1e-6)  # as chgnet's AngleEncoder
        encoder = self.model.bond_basis_expansion
        return _Bases(
            atom_graph=encoder.rbf_expansion_ag(pair_lengths).to(self.dtype),
            bond_graph=encoder.rbf_expansion_bg(pair_lengths).to(self.dtype),
            angles=self.model.angle_basis_expansion.fourier_expansion(torch.acos(cosine)).to(self.dtype),
            triplets=torch.stack([graph.edge_index[0][edge_a], edge_a % n_pairs, edge_b % n_pairs], dim=1),
        )


class _Bases(NamedTuple):
    """CHGNet's inputs: radial bases (pairs, n_radial), angular (triplets, n_angular), triplets (atom, pair, pair)."""

    atom_graph: Tensor
    bond_graph: Tensor
    angles: Tensor
    triplets: Tensor


def _pairs_without_angles(graph: AtomicGraph, triplets: Tensor) -> Tensor:
    """(pairs,) bool: the pairs of systems in which no two short bonds share an atom."""
    angles = torch.bincount(graph.system[triplets[:, 0]], minlength=graph.n_systems)
    first_half = graph.edge_index[0, : graph.edge_index.shape[1] // 2]
    return (angles == 0)[graph.system[first_half]]


@contextlib.contextmanager
def _unchanged(layers: Iterable[torch.nn.Module], pairs: Tensor) -> Iterator[None]:
    """Let the bond convolutions pass the features of the given pairs (mask) through.

    chgnet skips them for a structure without angles, but not for one in a batch with others, where the bias of 0.2.0's
    output layers changes it (by 0.25 eV/atom for sodium).
    """

    def keep(_layer: torch.nn.Module, _args: object, inputs: dict[str, Tensor], output: Tensor) -> Tensor:
        return torch.where(pairs[:, None], inputs["bond_feas"], output)

    hooks = [layer.register_forward_hook(keep, with_kwargs=True) for layer in layers] if bool(pairs.any()) else []
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def _edge_pairs(centre: Tensor, short: Tensor, n_atoms: int) -> tuple[Tensor, Tensor]:
    """All ordered pairs of different short edges that share their centre, as two lists of edge numbers."""
    edges = torch.nonzero(short).flatten()
    edges = edges[torch.argsort(centre[edges], stable=True)]
    degree = torch.bincount(centre[edges], minlength=n_atoms)
    first_of_centre = torch.cumsum(degree, 0) - degree
    partners = degree[centre[edges]]  # how many edges share this edge's centre, itself included
    a = torch.repeat_interleave(partners)
    start = torch.cumsum(partners, 0) - partners
    b = torch.arange(len(a), device=a.device) - start[a] + first_of_centre[centre[edges[a]]]
    different = a != b
    return edges[a[different]], edges[b[different]]
