"""Checks that what a potential cannot evaluate is refused, rather than answered with a number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ase.data import chemical_symbols

from uniscreen.errors import IsolatedAtomsError, StructureError, UnsupportedElementError
from uniscreen.potentials.testing.result import Deviation, Subject
from uniscreen.potentials.testing.structures import BINARY, ONE_ATOM, with_an_isolated_atom

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ase import Atoms


def unknown_element(subject: Subject) -> Iterator[Deviation]:
    """An element that is not on the card raises UnsupportedElementError with its symbol; also amid known ones."""
    unknown = [symbol for symbol in chemical_symbols[1:] if symbol not in subject.potential.card.elements]
    if not unknown:
        yield Deviation(0.0, 0.0, "faults", "the model knows every element")
        return
    for symbol in dict.fromkeys((unknown[0], unknown[-1])):
        replaced = subject.structures[BINARY].copy()
        replaced.symbols[1] = symbol
        yield from _refused(subject, replaced, UnsupportedElementError, symbol, f"a structure with {symbol}")


def isolated_atoms(subject: Subject) -> Iterator[Deviation]:
    """An atom without a neighbour within the cutoff raises IsolatedAtomsError."""
    alone, far = with_an_isolated_atom(subject.potential.card.elements, subject.potential.card.cutoff)
    yield from _refused(subject, alone, IsolatedAtomsError, "", "an atom alone in a box")
    yield from _refused(subject, far, IsolatedAtomsError, "", "an atom far from two others")


def _refused(subject: Subject, atoms: Atoms, error: type[StructureError], text: str, what: str) -> Iterator[Deviation]:
    """Whether both ``evaluate`` and ``graph`` raise the error, with the text in it, for the atoms behind good ones."""
    structures = [subject.structures[ONE_ATOM], atoms]
    for name, call in (("evaluate", subject.potential.evaluate), ("graph", subject.potential.graph)):
        fault = _fault(call, structures, error, text)
        yield Deviation(float(bool(fault)), 0.0, "faults", f"{name} of {what} {fault or 'is refused'}")


def _fault(
    call: Callable[[list[Atoms]], object], structures: list[Atoms], error: type[StructureError], text: str
) -> str:
    """What is wrong with how the call refuses the structures; empty if nothing is."""
    try:
        call(structures)
    except error as raised:
        return "" if text in str(raised) else f"is refused without naming {text}: {raised}"
    except Exception as raised:  # any other error is a finding, not a reason to stop
        return f"raises {type(raised).__name__} instead of {error.__name__}: {raised}"
    return f"does not raise {error.__name__}"
