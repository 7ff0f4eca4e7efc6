"""Which elements the fine-tuning has seen, and whether it is asked about others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.data import atomic_numbers

from uniscreen.training.safety.result import Measurement, NotRun

if TYPE_CHECKING:
    from collections.abc import Iterable

    from uniscreen.training.safety.subject import Subject


def unseen_elements(subject: Subject) -> tuple[Measurement]:
    """How many elements of the data the fine-tuning has never seen."""
    card = subject.potential.card
    if not card.tuned_elements:
        raise NotRun(f"{card.name} was not fine-tuned, or does not say on which elements")
    never = card.elements - card.tuned_elements
    known = f"tuned on {_listed(card.tuned_elements)}; never saw {len(never)} of its {len(card.elements)} elements"
    if not subject.data:
        raise NotRun(f"needs labelled structures: --data FILE; {known}: {_listed(never)}")
    asked = {symbol for one in subject.data for symbol in one.atoms.symbols} - card.tuned_elements
    detail = f"the data hold {_listed(asked)}; {known}" if asked else known
    return (Measurement(len(asked), detail),)


def _listed(symbols: Iterable[str]) -> str:
    return " ".join(sorted(symbols, key=lambda symbol: int(atomic_numbers[symbol]))) or "none"
