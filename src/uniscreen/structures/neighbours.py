"""Neighbour lists for a whole batch of periodic systems at once.

Every pair within the cutoff is found exactly, periodic images included. Systems are enumerated together in a few tensor
operations on the device, up to a size beyond which vesin's cell list is faster.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

PAIRS_PER_SYSTEM = {"cpu": 1_000, "cuda": 500_000}
"""A system with more (pair, image) combinations than this, by device, is handed to the cell list. On a CPU the compiled
cell list wins from a few atoms on; a GPU would wait for the copies."""

PAIRS_PER_CHUNK = 4_000_000
"""At most about this many combinations are held in memory at a time."""


def half_neighbour_list(
    positions: Tensor, cells: Tensor, pbc: Tensor, ptr: Tensor, cutoff: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Find each pair of atoms within ``cutoff`` once, for all systems of a batch.

    Args:
        positions: (N, 3) Å, float64; atoms of one system are consecutive and may lie outside the cell.
        cells: (B, 3, 3) Å, rows are lattice vectors.
        pbc: (B, 3) bool, the periodic directions.
        ptr: (B + 1,) first atom of each system.
        cutoff: Å.

    Returns:
        centre (E,), neighbour (E,) atom indices into the batch and shift (E, 3) whole numbers such that the pair's
        vector is ``positions[neighbour] + shift @ cell - positions[centre]``.
    """
    fractional_shift, wrapped = _wrap(positions, cells, pbc, ptr)
    images = _image_counts(cells, pbc, cutoff)
    n_atoms = ptr[1:] - ptr[:-1]
    n_shifts = ((2 * images + 1).prod(dim=1) + 1) // 2
    pairs = n_atoms**2 * n_shifts

    found = []
    large = pairs > PAIRS_PER_SYSTEM[positions.device.type]
    for chunk in _chunks(torch.nonzero(~large).flatten(), pairs):
        found.append(_enumerate_pairs(wrapped, cells, ptr, images, n_shifts, chunk, cutoff))
    for system in torch.nonzero(large).flatten().tolist():
        found.append(_cell_list(wrapped, cells, pbc, ptr, system, cutoff))
    centre = torch.cat([part[0] for part in found])
    neighbour = torch.cat([part[1] for part in found])
    shift = torch.cat([part[2] for part in found])
    return centre, neighbour, shift + fractional_shift[centre] - fractional_shift[neighbour]


def _wrap(positions: Tensor, cells: Tensor, pbc: Tensor, ptr: Tensor) -> tuple[Tensor, Tensor]:
    """Move atoms into their cells; returns the whole numbers taken off (N, 3) and the positions (N, 3)."""
    system = torch.repeat_interleave(ptr[1:] - ptr[:-1])
    fractional = torch.einsum("ni,nij->nj", positions, torch.linalg.inv(cells)[system])
    taken = torch.floor(fractional) * pbc[system]
    return taken, positions - torch.einsum("ni,nij->nj", taken, cells[system])


def _image_counts(cells: Tensor, pbc: Tensor, cutoff: float) -> Tensor:
    """Number of images to look at in each direction (B, 3), for atoms inside their cells.

    The distance between lattice planes is 1/|reciprocal vector|; fractional coordinates differ by less than one.
    """
    plane_spacing = 1.0 / torch.linalg.norm(torch.linalg.inv(cells), dim=1)  # columns are reciprocal vectors
    return torch.ceil(cutoff / plane_spacing).long() * pbc


def _chunks(systems: Tensor, pairs: Tensor) -> list[Tensor]:
    """Split systems into runs whose combinations fit into a chunk."""
    if not len(systems):
        return []
    chunk = torch.div(torch.cumsum(pairs[systems], 0), PAIRS_PER_CHUNK, rounding_mode="floor")
    return list(torch.split(systems, torch.unique_consecutive(chunk, return_counts=True)[1].tolist()))


def _enumerate_pairs(
    wrapped: Tensor,
    cells: Tensor,
    ptr: Tensor,
    images: Tensor,
    n_shifts: Tensor,
    systems: Tensor,
    cutoff: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """All pairs of the given systems, by enumerating atoms x atoms x half of the images.

    Of (i, j, S) and its reverse (j, i, -S) one is kept: S in the positive half space, and for S = 0 i < j.
    """
    n_atoms = (ptr[1:] - ptr[:-1])[systems]
    half = n_shifts[systems]
    counts = n_atoms**2 * half
    row = torch.repeat_interleave(counts)  # position in `systems`
    first = torch.cumsum(counts, 0) - counts
    local = torch.arange(len(row), device=ptr.device) - first[row]
    image = local % half[row]
    pair = torch.div(local, half[row], rounding_mode="floor")
    i = torch.div(pair, n_atoms[row], rounding_mode="floor")
    j = pair % n_atoms[row]
    keep = torch.nonzero((image > 0) | (i < j)).flatten()  # once: a GPU waits for each mask that is used as an index
    row, image, i, j = row[keep], image[keep], i[keep], j[keep]

    span = 2 * images[systems] + 1  # (b, 3)
    flat = image + half[row] - 1  # the middle of all (2 n + 1)^3 images is S = 0
    s3 = flat % span[row, 2]
    rest = torch.div(flat, span[row, 2], rounding_mode="floor")
    s2 = rest % span[row, 1]
    s1 = torch.div(rest, span[row, 1], rounding_mode="floor")
    shift = (torch.stack([s1, s2, s3], dim=1) - images[systems][row]).to(wrapped.dtype)

    system = systems[row]
    centre, neighbour = i + ptr[system], j + ptr[system]
    vector = wrapped[neighbour] - wrapped[centre] + torch.einsum("ni,nij->nj", shift, cells[system])
    near = torch.nonzero(vector.square().sum(dim=1) < cutoff**2).flatten()
    return centre[near], neighbour[near], shift[near]


def _cell_list(
    wrapped: Tensor, cells: Tensor, pbc: Tensor, ptr: Tensor, system: int, cutoff: float
) -> tuple[Tensor, Tensor, Tensor]:
    """All pairs of one large system, by vesin's cell list on the CPU."""
    from vesin import NeighborList

    start, stop = int(ptr[system]), int(ptr[system + 1])
    i, j, shift, distance = NeighborList(cutoff=cutoff, full_list=False, n_threads=1).compute(
        points=wrapped[start:stop].cpu().numpy(),
        box=cells[system].cpu().numpy(),
        periodic=pbc[system].cpu().numpy(),
        quantities="ijSd",
    )
    near = torch.from_numpy(distance < cutoff)

    def on_device(values: object) -> Tensor:
        return torch.as_tensor(values)[near].to(wrapped.device)

    return (
        on_device(i.astype("int64")) + start,
        on_device(j.astype("int64")) + start,
        on_device(shift).to(wrapped.dtype),
    )
