"""Model cards: what a potential was trained on and what its numbers mean."""

from __future__ import annotations

import tomllib
from dataclasses import asdict, dataclass
from functools import cache
from importlib import resources
from typing import TYPE_CHECKING, Any, Literal

from uniscreen.errors import InputError, UnknownModelError
from uniscreen.messages import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import numpy as np

Functional = Literal["PBE", "r2SCAN", "PBE-54", "PBE-noU", "unknown"]
EnergyConvention = Literal["raw", "MP2020-corrected"]


@dataclass(frozen=True)
class ModelCard:
    """The facts about one model that decide how it may be used.

    ``functional`` is that of its training labels: ``PBE`` stands for the Materials Project's own PBE(+U) settings,
    ``PBE-54`` for PBE+U with later pseudopotentials and ``PBE-noU`` for PBE without U. Their energies do not mix, and
    the corrections of 2020 belong to the first alone. ``energy_convention`` says whether it predicts raw DFT total
    energies or energies that already carry the Materials Project's 2020 corrections, which must not be applied twice.
    ``elements`` are the chemical symbols that occur in its training data, ``cutoff`` the radius of its graph in Å.
    ``size_bytes`` and ``sha256`` are those of the weights file, or of the file ``weights_file`` in a weights folder.
    ``head`` names the output to use of a model that has several. An empty ``sha256`` is one that is not known.
    ``restricted_use`` is what the licence restricts the weights to, empty if nothing, and ``licence_url`` its text;
    such a licence must be accepted before the weights are fetched or loaded.
    ``species`` are the elements in the order in which the weights number them, of a model that does not tell.
    ``base`` is the model that the weights were trained from, for those that this program trained, and
    ``tuned_elements`` the chemical symbols in the data that they were trained further on; ``elements`` stay the base's.
    ``reference_shifts`` are what that, or setting them, added to the base's reference energies, as symbols with eV an
    atom: without it its energies are counted as ``functional`` and ``energy_convention`` say.
    """

    name: str
    aliases: tuple[str, ...]
    architecture: str
    weights: str
    size_bytes: int
    sha256: str
    licence: str
    citation: str
    functional: Functional
    energy_convention: EnergyConvention
    forces: Literal["conservative", "direct"]
    dtype: Literal["float32", "float64"]
    cutoff: float
    magnetic_moments: bool
    elements: frozenset[str]
    head: str = ""
    weights_file: str = ""
    restricted_use: str = ""
    licence_url: str = ""
    base: str = ""
    tuned_elements: frozenset[str] = frozenset()
    species: tuple[str, ...] = ()
    reference_shifts: tuple[tuple[str, float], ...] = ()

    @property
    def is_fetchable(self) -> bool:
        """Whether ``weights`` is the address of the weights file itself."""
        return self.weights.startswith(("https://", "http://")) and " " not in self.weights

    def as_dict(self) -> dict[str, Any]:
        """The card as plain values: sets of symbols are sorted lists."""
        sets = {"elements": sorted(self.elements), "tuned_elements": sorted(self.tuned_elements)}
        return asdict(self) | sets | {"aliases": list(self.aliases), "reference_shifts": dict(self.reference_shifts)}

    def shifted_by(self, shifts: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
        """The ``reference_shifts`` once more ``shifts`` were added to the reference energies."""
        own = dict(self.reference_shifts)
        moved = own | {symbol: own.get(symbol, 0.0) + shift for symbol, shift in shifts.items()}
        return tuple(sorted((symbol, shift) for symbol, shift in moved.items() if shift))

    def unsupported_elements(self, numbers: np.ndarray) -> list[str]:
        """Chemical symbols among the atomic numbers that the model was not trained on, sorted."""
        from ase.data import chemical_symbols

        return sorted({chemical_symbols[n] for n in set(numbers.tolist())} - self.elements)

    def require_match(self, elements: Collection[str], cutoff: float) -> None:
        """Raise InputError unless weights know the card's elements (by symbol) and have its cutoff (Å)."""
        from ase.data import atomic_numbers

        if missing := self.elements - set(elements):
            listed = ", ".join(sorted(missing, key=lambda symbol: int(atomic_numbers[symbol])))
            raise InputError(f"The weights of {self.name} do not know {listed}, which its card lists.")
        if cutoff != self.cutoff:
            raise InputError(f"The weights of {self.name} have a cutoff of {cutoff:g} Å, expected {self.cutoff:g} Å.")

    @classmethod
    def from_table(cls, name: str, table: Mapping[str, object], element_sets: Mapping[str, str]) -> ModelCard:
        """Read one table of models.toml; the name of an element set stands for its symbols."""
        fields = dict(table)
        symbols = element_sets[str(fields.pop("elements"))]
        aliases = fields.pop("aliases", ())
        return cls(name=name, aliases=tuple(aliases), elements=frozenset(symbols.split()), **fields)  # type: ignore[arg-type]


@cache
def model_cards() -> Mapping[str, ModelCard]:
    """All model cards by name, in the order of models.toml."""
    text = resources.files("uniscreen.potentials").joinpath("models.toml").read_text(encoding="utf-8")
    document = tomllib.loads(text)
    sets = document["element_sets"]
    return {name: ModelCard.from_table(name, table, sets) for name, table in document["models"].items()}


def find_card(name: str) -> ModelCard:
    """Look a model card up by name or alias.

    Raises:
        UnknownModelError: there is none; the text names the nearest.
    """
    cards = model_cards()
    known = {alias: card for card in cards.values() for alias in (card.name, *card.aliases)}
    if name in known:
        return known[name]
    hint = did_you_mean(name.lower(), known)
    raise UnknownModelError(
        f"Unknown model {name!r}.{hint} Known models: {', '.join(cards)}; also the folder of a trained model, "
        "matgl:NAME of the Hugging Face hub, a MACE .model file, mtp:FILE:ELEMENTS for an .mtp file, and any ASE "
        "calculator as ase:MODULE:FACTORY."
    )
