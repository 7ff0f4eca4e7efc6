"""The models' own packages as they evaluate many crystals: energy (eV), forces (eV/Å) and stress, in batches."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from uniscreen.potentials.loading import resolve_model

if TYPE_CHECKING:
    from pathlib import Path

    from ase import Atoms

    from uniscreen.potentials.cards import ModelCard

Run = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Evaluates all crystals; gives the energies (B,) and the forces (N, 3)."""


def package_runs(model: str, device: str, crystals: list[Atoms], sizes: Sequence[int]) -> dict[str, Run]:
    """What the package of a model offers, by name and batch size."""
    card, weights = resolve_model(model, trust_model_file=True)
    if card.architecture == "CHGNet":
        return _chgnet(card, device, crystals, sizes)
    assert weights is not None
    return (_mace if card.architecture == "MACE" else _matgl)(card, weights, device, crystals, sizes)


def _chgnet(card: ModelCard, device: str, crystals: list[Atoms], sizes: Sequence[int]) -> dict[str, Run]:
    """``CHGNet.predict_structure``."""
    from chgnet.model import CHGNet
    from pymatgen.io.ase import AseAtomsAdaptor

    with contextlib.redirect_stdout(io.StringIO()):
        theirs = CHGNet.load(model_name=card.name.removeprefix("chgnet-"), use_device=device, verbose=False)
    structures = [AseAtomsAdaptor.get_structure(atoms) for atoms in crystals]
    n_atoms = np.array([len(structure) for structure in structures])

    def run(size: int) -> tuple[np.ndarray, np.ndarray]:
        results = theirs.predict_structure(structures, task="efs", batch_size=size)
        return np.array([r["e"] for r in results]) * n_atoms, np.concatenate([r["f"] for r in results])

    return {f"chgnet, batch size {size}": lambda size=size: run(size) for size in sizes}


def _matgl(card: ModelCard, weights: Path, device: str, crystals: list[Atoms], sizes: Sequence[int]) -> dict[str, Run]:
    """Matgl's ASE calculator, and its potential on batches of the calculator's graphs."""
    import matgl
    from matgl.ext.ase import Atoms2Graph, PESCalculator
    from torch_geometric.data import Batch

    potential = matgl.load_model(str(weights)).to(device)
    if card.architecture == "M3GNet":
        _sum_messages_at_the_end_of_edges(potential)
    converter = Atoms2Graph(potential.model.element_types, potential.model.cutoff)
    calculator = PESCalculator(potential, stress_unit="eV/A3")

    def run(size: int) -> tuple[np.ndarray, np.ndarray]:
        energies, forces = [], []
        for start in range(0, len(crystals), size):
            graphs, cells, states = zip(*map(converter.get_graph, crystals[start : start + size]), strict=True)
            e, f, *_ = potential(Batch.from_data_list(graphs), torch.cat(cells), torch.tensor(np.array(states)))
            energies.append(e.detach().cpu().numpy().reshape(-1))
            forces.append(f.detach().cpu().numpy())
        return np.concatenate(energies), np.concatenate(forces)

    batched = {f"matgl, batch size {size}": lambda size=size: run(size) for size in sizes}
    return {"PESCalculator": lambda: _calculated(calculator, crystals), **batched}


def _sum_messages_at_the_end_of_edges(potential: Any) -> None:
    """As the matgl did that the models before its version 3 were trained with; at the same cost."""
    from matgl.layers._graph_convolution import M3GNetGraphConv
    from matgl.utils.maths import scatter_add

    class IntoDestination(M3GNetGraphConv):
        def node_update_(self, edge_index, edge_feat, node_feat, rbf, _, num_nodes):
            inputs = torch.hstack([node_feat[edge_index[0]], node_feat[edge_index[1]], edge_feat])
            messages = self.node_update_func(inputs) * self.node_weight_func(rbf)
            return scatter_add(messages, edge_index[1], dim_size=num_nodes, dim=0)

    for block in potential.model.graph_layers:
        block.conv.__class__ = IntoDestination


def _mace(card: ModelCard, weights: Path, device: str, crystals: list[Atoms], sizes: Sequence[int]) -> dict[str, Run]:
    """Mace's ASE calculator, and its model on the batches of ``mace_eval_configs``."""
    from mace import data, tools
    from mace.calculators import MACECalculator
    from mace.tools import torch_geometric

    calculator = MACECalculator(model_paths=str(weights), device=device, default_dtype=card.dtype)
    (model,) = calculator.models
    dtype = next(model.parameters()).dtype
    table = tools.AtomicNumberTable(model.atomic_numbers.tolist())

    def run(size: int) -> tuple[np.ndarray, np.ndarray]:
        configurations = map(data.config_from_atoms, crystals)
        items = [data.AtomicData.from_config(c, z_table=table, cutoff=float(model.r_max)) for c in configurations]
        energies, forces = [], []
        for batch in torch_geometric.dataloader.DataLoader(items, batch_size=size, shuffle=False, drop_last=False):
            inputs = batch.to(device).to_dict()
            inputs |= {k: v.to(dtype) for k, v in inputs.items() if torch.is_tensor(v) and v.is_floating_point()}
            output = model(inputs, compute_stress=True)
            energies.append(output["energy"].detach().cpu().numpy())
            forces.append(output["forces"].detach().cpu().numpy())
        return np.concatenate(energies), np.concatenate(forces)

    batched = {f"mace, batch size {size}": lambda size=size: run(size) for size in sizes}
    return {"MACECalculator": lambda: _calculated(calculator, crystals), **batched}


def _calculated(calculator: Any, crystals: list[Atoms]) -> tuple[np.ndarray, np.ndarray]:
    energies, forces = [], []
    for atoms in crystals:
        calculator.calculate(atoms, ["energy", "forces", "stress"])
        energies.append(calculator.results["energy"])
        forces.append(calculator.results["forces"])
    return np.array(energies), np.concatenate(forces)
