"""Measure all that is asked about a system."""

from __future__ import annotations

from typing import TYPE_CHECKING

from uniscreen.benchmarking.physics import defects, elastic, equation_of_state, motion, phonons, polymorphs
from uniscreen.benchmarking.physics.at_rest import Bulk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from uniscreen.benchmarking.physics.measurement import Measurement, Probe
    from uniscreen.benchmarking.physics.properties import Crystal, Properties
    from uniscreen.potentials.base import Potential


def measure(
    potential: Potential, properties: Properties, *, on_progress: Callable[[str], None] | None = None
) -> list[Measurement]:
    """Measure every property that the file names, in its order, and the errors of those whose values it gives.

    ``on_progress`` is told what is about to be measured. A property that the potential does not have (a crystal that
    does not come to rest, an atom that flies away) is a measurement of NaN with the reason. The same potential gives
    the same numbers, but for its speed.

    Raises:
        MissingPackageError: phonons are asked for, and phonopy is not installed.
        InputError: the potential cannot be evaluated at all.
    """
    require_measurable(properties)
    measured = []
    for probe in probes(potential, properties):
        if on_progress is not None:
            on_progress(probe.what)
        measured += probe.run()
    return measured


def require_measurable(properties: Properties) -> None:
    """Raise MissingPackageError if phonons are asked for, and phonopy is not installed."""
    if any(crystal.phonons is not None for crystal in properties.crystals.values()):
        phonons.require_phonopy()


def probes(potential: Potential, properties: Properties) -> Iterator[Probe]:
    """What is measured, in order."""
    bulks = {name: Bulk(name, potential, crystal.build()) for name, crystal in properties.crystals.items()}
    for name, crystal in properties.crystals.items():
        yield from _of_crystal(bulks[name], crystal)
    for asked in properties.polymorphs:
        yield from polymorphs.probes(bulks, asked)
    if properties.dynamics is not None:
        yield motion.dynamics_probe(bulks[properties.dynamics.crystal], properties.dynamics)
    if properties.speed is not None:
        yield motion.speed_probe(bulks[properties.speed.crystal], properties.speed)


def _of_crystal(bulk: Bulk, crystal: Crystal) -> Iterator[Probe]:
    if crystal.equation_of_state is not None:
        yield equation_of_state.probe(bulk, crystal.equation_of_state)
    if crystal.elastic is not None:
        yield elastic.probe(bulk, crystal.elastic)
    if crystal.phonons is not None:
        yield phonons.probe(bulk, crystal.phonons)
    if crystal.vacancy is not None:
        yield defects.vacancy_probe(bulk, crystal.vacancy)
    for surface in crystal.surfaces:
        yield defects.surface_probe(bulk, surface)
