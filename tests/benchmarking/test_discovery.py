"""The protocol from end to end, and how predictions are put beside the truth."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from ase.build import bulk

from uniscreen.benchmarking import run_discovery
from uniscreen.benchmarking.discovery import predictions_table
from uniscreen.benchmarking.truth import Truth
from uniscreen.errors import InputError, ResumeError
from uniscreen.potentials import load_potential
from uniscreen.screening import ScreenSettings
from uniscreen.structures import candidates_from_structures, read_candidates
from uniscreen.structures.writing import CandidateWriter
from uniscreen.thermodynamics import elemental_references

WBM = Path(__file__).parents[2].parent / "shared" / "data" / "wbm" / "wbm-972.json.gz"
ROCK_SALTS = {"NaCl": 5.69, "KCl": 6.38, "MgO": 4.25, "LiF": 4.07}


@pytest.fixture(scope="module")
def benchmark(tmp_path_factory):
    """Four rock salts whose truth is the model's own energy and 0.1 eV/atom more, one unreadable row and one of Po."""
    folder = tmp_path_factory.mktemp("discovery")
    mu, potential = elemental_references("PBE"), load_potential("chgnet-0.3.0", device="cpu")
    columns = ("dft_formation_energy_eV_per_atom", "dft_e_above_hull_eV_per_atom")
    with CandidateWriter(folder / "salts.csv", columns) as writer:
        for (name, a), hull in zip(ROCK_SALTS.items(), (0.0, -0.05, -0.2, 0.05), strict=True):
            atoms = bulk(name, "rocksalt", a=a)
            energy = potential.evaluate([atoms])[0].energy
            formation = (energy - sum(mu[symbol] for symbol in atoms.get_chemical_symbols())) / 2
            writer.write(name, atoms, dict(zip(columns, (formation - 0.1, hull), strict=True)))
        writer.write("broken", None, dict(zip(columns, (-1.0, -0.1), strict=True)))
        writer.write("PoO", bulk("PoO", "rocksalt", a=5.6), dict(zip(columns, (-1.0, 0.1), strict=True)))
    run = run_discovery(folder / "salts.csv", ScreenSettings(relax=False, device="cpu"), folder / "out", workers=1)
    return run, folder


def test_the_hull_distance_is_the_true_one_plus_the_error(benchmark):
    run, _ = benchmark
    table = run.predictions.set_index("id").loc[list(ROCK_SALTS)]
    assert table["error_eV_per_atom"].tolist() == pytest.approx([0.1] * 4, abs=1e-4)
    assert table["e_above_hull_predicted_eV_per_atom"].tolist() == pytest.approx([0.1, 0.05, -0.1, 0.15], abs=1e-4)


def test_metrics_count_what_is_missing_as_unstable(benchmark):
    run, _ = benchmark
    assert run.formation_energy["n"] == 4
    assert run.formation_energy["MAE_eV_per_atom"] == pytest.approx(0.1, abs=1e-4)
    assert run.stability is not None
    assert [run.stability[name] for name in ("n", "TP", "FN", "FP", "TN")] == [6, 1, 3, 0, 2]
    assert run.stability["DAF"] == pytest.approx(1 / (4 / 6))
    assert run.counts["structures"] == 6
    assert run.counts["predicted"] == 4
    assert run.counts["missing: unsupported_element"] + run.counts["missing: invalid_structure"] == 2


def test_what_is_written(benchmark):
    _, folder = benchmark
    out = folder / "out"
    document = json.loads((out / "metrics.json").read_text())
    assert document["stability"]["TP"] == 1
    assert document["provenance"]["truth"]["e_above_hull"] == "dft_e_above_hull_eV_per_atom"
    assert document["provenance"]["structures"]["sha256"] == read_candidates(folder / "salts.csv").sha256
    long = pd.read_csv(out / "metrics.csv").set_index(["of", "metric"])["value"]
    assert long["stability", "FN"] == 3
    saved = pd.read_parquet(out / "predictions.parquet")
    assert saved["id"].tolist() == [*ROCK_SALTS, "broken", "PoO"]
    assert (out / "screen" / "results.parquet").exists()
    assert len(pd.read_csv(out / "predictions.csv")) == 6


def test_a_finished_run_is_not_computed_again(benchmark):
    run, folder = benchmark
    settings = ScreenSettings(relax=False, device="cpu")
    told = []
    again = run_discovery(folder / "salts.csv", settings, folder / "out", on_progress=told.append)
    assert [progress.resumed for progress in told] == [6]
    pd.testing.assert_frame_equal(again.predictions, run.predictions)
    with pytest.raises(ResumeError, match="input"):
        run_discovery(folder / "salts.csv", settings, folder / "out", sample=3)


def test_samples_are_drawn_by_seed():
    table = candidates_from_structures([bulk("Cu")] * 50)
    first, again, other = table.sample(10, 1), table.sample(10, 1), table.sample(10, 2)
    assert [one.id for one in first] == [one.id for one in again]
    assert [one.id for one in first] != [one.id for one in other]
    assert len({one.id for one in first}) == 10
    assert len({table.sha256, first.sha256, other.sha256, table.sample(9, 1).sha256}) == 4
    for size in (0, 51):
        with pytest.raises(InputError, match="expected 1 to 50"):
            table.sample(size, 0)


def test_a_prediction_far_off_is_a_missing_one():
    table = candidates_from_structures([bulk("Cu")] * 4, list("abcd"))
    results = pd.DataFrame(
        {
            "id": list("dcba"),
            "formula": "Cu",
            "n_atoms": 1,
            "status": ["ok", "exploded", "not_converged", "ok"],
            "n_steps": 1,
            "formation_energy_eV_per_atom": [np.nan, np.nan, 0.5, -5.2],
        }
    )
    zeros, hull = pd.Series([0.0] * 4), pd.Series([-0.1, -0.6, 0.0, 0.0])
    made = predictions_table(results, table, Truth(zeros, hull, "true", "hull", "file"))
    assert made["missing"].tolist() == ["error above 5 eV/atom", "", "exploded", "no elemental energy"]
    assert made["e_above_hull_predicted_eV_per_atom"].tolist() == pytest.approx(
        [np.nan, -0.1, np.nan, np.nan], nan_ok=True
    )


@pytest.mark.slow
def test_wbm_near_the_published_error(tmp_path):
    """20 relaxed structures of WBM; the published mean absolute error on all 972 is 65 meV/atom."""
    if not WBM.exists():
        pytest.skip(f"{WBM.name} is not there")
    run = run_discovery(WBM, ScreenSettings(), tmp_path / "out", sample=20, seed=3)
    assert run.stability is None
    assert run.counts["predicted"] == 20
    assert run.formation_energy["median_absolute_error_eV_per_atom"] < 0.065
