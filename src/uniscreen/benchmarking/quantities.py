"""What benchmarks measure: each quantity with its unit and the direction in which it is better.

A metric is the name of a quantity, or ``quantity:name`` where it belongs to one crystal of several or to other data. A
surface or a point of the Brillouin zone follows the crystal's name: ``surface_energy:bcc(110)``,
``phonon_frequency:bcc N``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Better = Literal["lower", "higher", "near one", "no direction"]


@dataclass(frozen=True)
class Quantity:
    """A quantity; ``better`` is ``no direction`` where a value alone is neither good nor bad, as that of a volume."""

    name: str
    title: str
    unit: str
    better: Better


QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("energy_mae", "energy MAE", "meV/atom", "lower"),
        Quantity("energy_rmse", "energy RMSE", "meV/atom", "lower"),
        Quantity("shifted_energy_mae", "energy MAE without its mean error", "meV/atom", "lower"),
        Quantity("shifted_energy_rmse", "energy RMSE without its mean error", "meV/atom", "lower"),
        Quantity("force_mae", "force MAE by component", "meV/Å", "lower"),
        Quantity("force_rmse", "force RMSE by component", "meV/Å", "lower"),
        Quantity("force_cosine", "cosine of forces", "1", "near one"),
        Quantity("force_slope", "slope of forces", "1", "near one"),
        Quantity("stress_mae", "stress MAE by component", "GPa", "lower"),
        Quantity("stress_rmse", "stress RMSE by component", "GPa", "lower"),
        Quantity("training_time", "CPU time of training", "s", "lower"),
        Quantity("speed", "speed", "atom steps/s", "higher"),
        Quantity("nve_drift", "drift of the energy in dynamics", "meV/atom/ps", "lower"),
        Quantity("volume", "volume at rest", "Å³/atom", "no direction"),
        Quantity("volume_error", "error of the volume at rest", "%", "lower"),
        Quantity("bulk_modulus", "bulk modulus", "GPa", "no direction"),
        Quantity("bulk_modulus_error", "error of the bulk modulus", "%", "lower"),
        *(
            Quantity(f"c{i}{j}", f"elastic constant C{i}{j}", "GPa", "no direction")
            for i in range(1, 7)
            for j in range(i, 7)
        ),
        Quantity("elastic_error", "mean error of the elastic constants", "%", "lower"),
        Quantity("phonon_frequency", "highest phonon frequency at a point", "THz", "no direction"),
        Quantity("phonon_mae", "phonon frequencies MAE", "THz", "lower"),
        Quantity("imaginary_modes", "imaginary phonon modes", "1", "lower"),
        Quantity("vacancy_energy", "vacancy formation energy", "eV", "no direction"),
        Quantity("vacancy_energy_error", "error of the vacancy formation energy", "eV", "lower"),
        Quantity("surface_energy", "surface energy", "J/m²", "no direction"),
        Quantity("surface_energy_error", "error of the surface energy", "J/m²", "lower"),
        Quantity("polymorph_energy", "energy above the first polymorph", "meV/atom", "no direction"),
        Quantity("polymorph_energy_error", "error of polymorphs' energies", "meV/atom", "lower"),
    )
}


def quantity_of(metric: str) -> Quantity:
    """Return the quantity of a metric; KeyError where there is none of its name."""
    return QUANTITIES[metric.partition(":")[0]]
