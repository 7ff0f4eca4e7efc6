"""uniscreen: screen crystals with universal interatomic potentials.

    >>> import uniscreen
    >>> potential = uniscreen.load_potential("chgnet-0.3.0")
    >>> results = uniscreen.screen("data/demo/candidates.csv")
    >>> summary = uniscreen.finetune("chgnet-quick", "runs/mine", train="mine.extxyz")
    >>> board = uniscreen.benchmark("benchmarks/nacl.yaml")

Nothing heavy is imported before it is used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from uniscreen.api import benchmark, finetune, screen
    from uniscreen.benchmarking.leaderboard import leaderboard
    from uniscreen.errors import UniscreenError
    from uniscreen.potentials import load_potential

__all__ = ["UniscreenError", "__version__", "benchmark", "finetune", "leaderboard", "load_potential", "screen"]

__version__ = "0.1.0"

_HOMES = {
    "UniscreenError": "uniscreen.errors",
    "load_potential": "uniscreen.potentials",
    "screen": "uniscreen.api",
    "finetune": "uniscreen.api",
    "benchmark": "uniscreen.api",
    "leaderboard": "uniscreen.benchmarking.leaderboard",
}


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'uniscreen' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
