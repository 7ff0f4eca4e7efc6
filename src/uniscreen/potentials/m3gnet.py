"""M3GNet (Chen and Ong 2022): the weights and layers of the matgl package on uniscreen's batched graphs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from ase.data import atomic_numbers, chemical_symbols

from uniscreen.errors import InputError
from uniscreen.potentials.base import Prediction, TrainablePotential

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

    from uniscreen.potentials.cards import ModelCard
    from uniscreen.structures.graph import AtomicGraph

_KNOWN_CLASSES = ("matgl.apps.pes.Potential", "matgl.models._m3gnet.M3GNet")
"""What model.json may name: the wrapper with the energy scale, and the network. Nothing that it names is imported."""

_REQUIRED = {"is_intensive": False, "include_state": False, "use_phi": False, "ntargets": 1, "dropout": None}
"""The arguments of the network for which ``predict`` holds: an energy that is a sum over atoms, without a state."""


class M3GNetPotential(TrainablePotential):
    """M3GNet behind the contract: total energy in eV, raw as in its training labels.

    Messages are summed into the atom at the end of their edge, as in the matgl that the published models were trained
    with. matgl 3 and later sums them into the atom at its start, which puts rock salt 2 eV/atom too high.
    """

    def __init__(self, card: ModelCard, weights: Path, device: torch.device, dtype: torch.dtype) -> None:
        """Load the model in a folder that matgl saved.

        Raises:
            InputError: the folder does not hold a model of the known classes, or not that of the card.
        """
        arguments = _network_arguments(weights)
        _require_match(card, arguments)
        state = torch.load(weights / "state.pt", map_location="cpu", weights_only=True)
        self.card = card
        self.device = device
        self.dtype = dtype
        self.model = _build_network(arguments, state).to(device=device, dtype=dtype).eval()
        self.energy_scale = float(state["data_std"])
        self.energy_shift = float(state["data_mean"])

        numbers = [atomic_numbers[symbol] for symbol in arguments["element_types"]]
        self._species = torch.zeros(len(chemical_symbols), dtype=torch.long, device=device)
        self._species[numbers] = torch.arange(len(numbers), device=device)
        self._references = state["element_refs.property_offset"].double().to(device)  # (species,) eV

    def predict(self, graph: AtomicGraph) -> Prediction:
        """Run M3GNet's layers on the batch."""
        species = self._species[graph.numbers]
        edges = self._edges(graph)
        node_features, edge_features, _ = self.model.embedding(species, edges.radial, None)
        for three_body, block in zip(self.model.three_body_interactions, self.model.graph_layers, strict=True):
            edge_features = three_body(
                edges.ends[1],
                edges.triplets,
                edges.n_triplets,
                edges.ends.shape[1],
                edges.angular,
                edges.envelope,
                node_features,
                edge_features,
            )
            node_features, edge_features = _convolve(block.conv, edges, node_features, edge_features)
        atoms = self.model.final_layer(node_features)[:, 0].double() * self.energy_scale + self._references[species]
        energy = atoms.new_full((graph.n_systems,), self.energy_shift).index_add(0, graph.system, atoms)
        return Prediction(energy=energy)

    def _edges(self, graph: AtomicGraph) -> _Edges:
        """Expand lengths and angles.

        This is done in float64 and then rounded, as the Bessel functions and the cutoff polynomial cancel large terms.
        """
        from matgl.graph._compute import compute_theta_and_phi, create_line_graph_torch
        from matgl.layers._three_body import combine_sbf_shf
        from matgl.utils.cutoff import polynomial_cutoff

        order = torch.argsort(graph.edge_index[0], stable=True)  # matgl pairs edges that follow one another
        ends = graph.edge_index[:, order]
        vectors = graph.edge_vectors[order]
        lengths = vectors.norm(dim=1)
        cutoff = self.model.threebody_cutoff
        line_graph = create_line_graph_torch(ends, lengths.detach(), vectors.detach(), len(graph.numbers), cutoff)
        triplets = line_graph["line_edge_index"]

        expansion = self.model.basis_expansion
        cosine = compute_theta_and_phi(vectors, lengths, triplets)["cos_theta"]
        angular = combine_sbf_shf(
            expansion.sbf(lengths)[triplets[1]],
            expansion.shf(cosine),
            max_n=expansion.max_n,
            max_l=expansion.max_l,
            use_phi=False,
        )
        return _Edges(
            ends=ends,
            radial=self.model.bond_expansion(lengths).to(self.dtype),
            envelope=polynomial_cutoff(lengths, cutoff).to(self.dtype),
            triplets=triplets,
            n_triplets=line_graph["n_triple_ij"],
            angular=angular.to(self.dtype),
        )


class _Edges(NamedTuple):
    """M3GNet's inputs, for E edges sorted by their centre and T pairs of different short edges with the same centre.

    ``ends`` (2, E) centre and neighbour; ``radial`` (E, n_radial); ``envelope`` (E,), zero beyond the three-body
    cutoff; ``triplets`` (2, T), the edge that is changed and the one that it sees; ``n_triplets`` (E,), how often an
    edge is changed; ``angular`` (T, n_angular).
    """

    ends: Tensor
    radial: Tensor
    envelope: Tensor
    triplets: Tensor
    n_triplets: Tensor
    angular: Tensor


def _convolve(layer: Any, edges: _Edges, node_features: Tensor, edge_features: Tensor) -> tuple[Tensor, Tensor]:
    """One M3GNetGraphConv of matgl, with messages summed into the neighbour: eqs. 4 and 5 of Chen and Ong (2022)."""
    centre, neighbour = edges.ends
    edge_features = edge_features + layer.edge_update_(edges.ends, edge_features, node_features, edges.radial, None)
    inputs = torch.hstack([node_features[centre], node_features[neighbour], edge_features])
    messages = layer.node_update_func(inputs) * layer.node_weight_func(edges.radial)
    return node_features.index_add(0, neighbour, messages), edge_features


def _network_arguments(folder: Path) -> dict[str, Any]:
    """The arguments of the network that model.json describes, once it is known to describe an M3GNet potential."""
    path = folder / "model.json"
    try:
        wrapper = json.loads(path.read_text(encoding="utf-8"))
        network = wrapper["kwargs"]["model"]
        classes = tuple(f"{table['@module']}.{table['@class']}" for table in (wrapper, network))
        arguments = dict(network["init_args"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} does not describe a matgl potential: {type(error).__name__}: {error}") from error
    if classes != _KNOWN_CLASSES:
        raise InputError(f"{path} names the classes {', '.join(classes)}, expected {', '.join(_KNOWN_CLASSES)}.")
    for name, value in _REQUIRED.items():
        if arguments.get(name) != value:
            raise InputError(f"{path} has {name} = {arguments.get(name)!r}; only {value!r} can be run.")
    return arguments


def _require_match(card: ModelCard, arguments: Mapping[str, Any]) -> None:
    missing = card.elements - set(arguments["element_types"])
    if missing:
        listed = ", ".join(sorted(missing, key=lambda symbol: atomic_numbers[symbol]))
        raise InputError(f"The weights of {card.name} do not know {listed}, which its card lists.")
    if arguments["cutoff"] != card.cutoff:
        raise InputError(
            f"The weights of {card.name} have a cutoff of {arguments['cutoff']:g} Å, expected {card.cutoff:g} Å."
        )


def _build_network(arguments: Mapping[str, Any], state: Mapping[str, Tensor]) -> Any:
    from matgl.models._m3gnet import M3GNet

    network = M3GNet(**arguments)
    prefix = "model."
    network.load_state_dict({key.removeprefix(prefix): v for key, v in state.items() if key.startswith(prefix)})
    return network
