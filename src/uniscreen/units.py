"""Unit conversions. Inside uniscreen: eV, Å, eV/Å³ (tension positive), μ_B, total energies."""

EV_PER_CUBIC_ANGSTROM_TO_GPA = 160.21766208
"""1 eV/Å³ in GPa (CODATA 2014, the value that CHGNet's own stress conversion uses)."""
