"""What a trainable potential's adapter supplies so that the potential can be exported; see ``exporting``."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from pathlib import Path

    from ase.calculators.calculator import Calculator


class Exporter(ABC):
    """One model in the format of its own package."""

    format: ClassVar[str]
    """The package's name."""

    @abstractmethod
    def write(self, path: Path) -> None:
        """Write the file or folder, which is new."""

    @abstractmethod
    def calculator(self, path: Path) -> Calculator:
        """The package's own ASE calculator of what was written, on the CPU, in eV, Å and eV/Å³."""

    @abstractmethod
    def loading_code(self, path: Path) -> str:
        """The Python that loads it."""
