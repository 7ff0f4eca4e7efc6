"""Which crystal of a composition is the most stable, and by how much."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.benchmarking.physics.measurement import Found, Probe

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from uniscreen.benchmarking.physics.at_rest import Bulk
    from uniscreen.benchmarking.physics.properties import Polymorphs


def probes(bulks: Mapping[str, Bulk], asked: Polymorphs) -> Iterator[Probe]:
    """The energy of each crystal at rest above the first's, each on its own: one that breaks must not hide others."""
    references = asked.energies_meV_per_atom or [None] * len(asked.crystals)
    first = bulks[asked.crystals[0]]
    for name, reference in list(zip(asked.crystals, references, strict=True))[1:]:
        yield _probe(bulks[name], first, reference)


def _probe(bulk: Bulk, first: Bulk, reference: float | None) -> Probe:
    name = f"polymorph_energy:{bulk.name}"
    error = f"polymorph_energy_error:{bulk.name}"

    def measure() -> dict[str, Found]:
        value = 1000 * (bulk.energy_per_atom - first.energy_per_atom)
        return {name: Found(value)} | ({} if reference is None else {error: Found(abs(value - reference), 1)})

    metrics = (name,) if reference is None else (name, error)
    return Probe(f"{bulk.name}: energy above {first.name}", metrics, measure)
