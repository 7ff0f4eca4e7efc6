from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_path():
    """Path of a published data set that lies beside the project, or skip."""

    def find(name: str) -> Path:
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"published data set {name} is not beside the checkout (expected in ../shared/data)")
        return path

    return find


@pytest.fixture(scope="session")
def shared_records(shared_path):
    def load(name: str) -> Any:
        return json.loads(gzip.decompress(shared_path(name).read_bytes()))

    return load


@pytest.fixture
def entry_dict():
    """A ComputedEntry dict as pymatgen writes it."""

    def make(composition, energy, adjustments=(), run_type="GGA", **extra) -> dict[str, Any]:
        return {
            "@module": "pymatgen.entries.computed_entries",
            "@class": "ComputedEntry",
            "entry_id": "mp-1",
            "composition": composition,
            "energy": energy,
            "correction": sum(value for _, value in adjustments),
            "energy_adjustments": [{"name": name, "value": value} for name, value in adjustments],
            "parameters": {"run_type": run_type},
            **extra,
        }

    return make


@pytest.fixture
def entries_file(tmp_path):
    def write(content: Any, name: str = "entries.json") -> Path:
        path = tmp_path / name
        path.write_text(json.dumps(content))
        return path

    return write
