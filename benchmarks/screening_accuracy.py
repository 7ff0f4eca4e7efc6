"""How far screened hull distances are from DFT: screens entries with known DFT energies and prints the errors.

    python benchmarks/screening_accuracy.py ENTRIES.json.gz --max-atoms 20

Materials Project entries with ``e_above_hull`` and ``e_form_per_atom`` are candidates and, together, the references.
For formation energies against elemental references alone: ``uniscreen benchmark discovery``.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import uniscreen


def main() -> None:
    """Screen and print the errors."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path)
    parser.add_argument("--model", default="chgnet-0.3.0")
    parser.add_argument("--max-atoms", type=int, default=1000)
    parser.add_argument("--out", type=Path, help="keep the run here")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        started = time.monotonic()
        table = uniscreen.screen(
            arguments.file,
            model=arguments.model,
            references=arguments.file,
            max_atoms=arguments.max_atoms,
            out=arguments.out or Path(scratch) / "run",
        )
        seconds = time.monotonic() - started
    print("status:", ", ".join(f"{n} {status}" for status, n in table["status"].value_counts().items()))
    ok = table[table["status"] == "ok"]
    _error("e_above_hull", ok["e_above_hull_eV_per_atom"], ok["e_above_hull"])
    _error("formation energy", ok["formation_energy_eV_per_atom"], ok["e_form_per_atom"])
    near = ok[~ok["flags"].str.contains("far_from_minimum")]
    name = "e_above_hull of rows not flagged far_from_minimum"
    _error(name, near["e_above_hull_eV_per_atom"], near["e_above_hull"])
    lowered = -1000 * ok["relaxation_energy_eV_per_atom"].min()
    print(f"{len(ok) - len(near)} rows flagged far_from_minimum; relaxing lowered one by {lowered:.0f} meV/atom")
    tenth = len(ok) // 10
    stable = ok["is_stable"].astype(bool)
    found = f"{stable.iloc[:tenth].sum()} of {stable.sum()}"
    print(f"DFT-stable phases in the top tenth ({tenth} of {len(ok)} rows): {found}")
    distance = 1000 * ok.loc[stable, "e_above_hull_eV_per_atom"]
    print(f"their predicted e_above_hull: median {distance.median():.0f} meV/atom, at most {distance.max():.0f}")
    print(f"time: {seconds:.0f} s for {len(table)} candidates, {ok['n_steps'].median():.0f} steps in the median")


def _error(name: str, predicted, true) -> None:
    error = predicted - true
    print(
        f"{name}: mean absolute error {1000 * error.abs().mean():.1f} meV/atom, "
        f"median {1000 * error.abs().median():.1f}, mean error {1000 * error.mean():+.1f}, n = {error.notna().sum()}"
    )


if __name__ == "__main__":
    main()
