"""The symmetry operations of a CIF: those that it lists, or else those of the space group that it names.

pymatgen takes a group that it does not know for P1, one of the origins where there are two, and for a symbol that it
does not know the usual setting of the number beside it. Here the symbols, the number and the cell have to leave one
setting, or the CIF is refused.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

from uniscreen.errors import InvalidStructureError
from uniscreen.structures.guard import shorten
from uniscreen.structures.space_groups import (
    is_usual,
    operations_of,
    settings,
    settings_of_hall_symbol,
    settings_of_number,
    settings_of_symbol,
    usual_settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

    Operations = tuple[NDArray[np.float64], NDArray[np.float64]]

MAX_OPERATIONS = 500
"""The 230 space groups have at most 192 in a conventional cell."""

CELL_MISMATCH = 0.01
"""Relative change that a symmetry operation may make to the cell's metric, for rounded lengths and angles."""

TRANSLATION_STEPS = 24
"""Translations of the space groups are multiples of 1/24 of a cell vector."""

EQUAL_MISFIT = 1e-6
"""Settings whose misfits to a cell differ by less fit it equally well."""

ROUNDED = 1e-3
"""Fraction of a cell vector; a translation this near to a multiple of 1/24 is taken for it (0.333)."""

SAME_TRANSLATION = 0.01
"""Fraction of a cell vector; translations further apart are different ones."""

LISTED = re.compile(r"_symmetry_equiv_pos_as_xyz_?|_space_group_symop_operation_xyz_?")
MAGNETIC = re.compile(r"_space_group_symop_magn_operation_xyz")
MAGNETIC_CENTRING = re.compile(r"_space_group_symop_magn_centering_xyz")
SYMBOL = re.compile(r"_(symmetry_)?space_group_name_h[-_]m(_alt|_full)?_?")
HALL_SYMBOL = re.compile(r"_(symmetry_)?space_group_name_hall_?")
NUMBER = re.compile(r"_(symmetry_)?space_group_it_number_?|_symmetry_int_tables_number_?")
ANY_NAME = re.compile(
    r"_(symmetry_)?space_group_(name_.*|it_number_?|magn_(name|number)_.*)|_symmetry_int_tables_number_?"
)

NO_SYMMETRY = ("p1", "1", "c1^1")
TERM = re.compile(r"([+-]?)(?=.)(?:(\d+)/([1-9]\d*)|(\d+\.?\d*|\.\d+))?\*?([xyz]?)")


def cif_operations(values: Mapping[str, list[str]], cell: NDArray[np.float64]) -> Operations:
    """Return the operations of a CIF, given its values by key in lower case, and its cell, (3, 3) Å.

    Rotations (m, 3, 3) and translations (m, 3) act on fractional coordinates as columns.

    Raises:
        InvalidStructureError: an operation cannot be read, they do not fit the cell or each other, or what the CIF
            says of its space group leaves no setting or several.

    """
    # Of a magnetic space group the time reversal, +1 or -1 at the end of an operation, moves no atom.
    magnetic, centring = (
        [text.rpartition(",")[0] for text in _given(values, k)] for k in (MAGNETIC, MAGNETIC_CENTRING)
    )
    listed = magnetic or _given(values, LISTED)
    if not listed:
        return _operations_of_group(values, cell)
    if len(listed) * max(len(centring), 1) > MAX_OPERATIONS:
        raise InvalidStructureError(
            f"the CIF lists {len(listed):,} symmetry operations; expected at most {MAX_OPERATIONS:,}."
        )
    operations = [_operation(text) for text in listed]
    shifts = [_operation(text)[1] for text in centring if magnetic] or [np.zeros(3)]
    rotations = np.array([rotation for rotation, _ in operations for _ in shifts])
    translations = np.array([translation + shift for _, translation in operations for shift in shifts])
    _check_fits_cell(rotations, cell)
    _check_group(rotations, translations)
    if not magnetic:
        _check_complete(len(listed), values, cell)
    return rotations, translations


def _check_fits_cell(rotations: NDArray[np.float64], cell: NDArray[np.float64]) -> None:
    """Check that every rotation, (m, 3, 3), keeps lengths and angles of the cell.

    Raises:
        InvalidStructureError: one does not.

    """
    if (misfit := _misfits(rotations, cell)).max() > CELL_MISMATCH:
        raise InvalidStructureError(
            f"symmetry operation {misfit.argmax() + 1} of the CIF does not fit its cell: another setting or a misprint."
        )


def _misfits(rotations: NDArray[np.float64], cell: NDArray[np.float64]) -> NDArray[np.float64]:
    """The largest relative change that each rotation, (m, 3, 3), makes to the metric G = A Aᵀ: Rᵀ G R - G; (m,)."""
    metric = cell @ cell.T
    moved = np.einsum("nji,jk,nkl->nil", rotations, metric, rotations)
    scale = np.sqrt(np.outer(np.diag(metric), np.diag(metric)))
    change: NDArray[np.float64] = np.abs((moved - metric) / scale).max(axis=(1, 2))
    return change


def _operation(text: str) -> Operations:
    """Read ``-x+y, 1/2-y, z+0.25``: a rotation (3, 3) and a translation (3,)."""
    rotation, translation = np.zeros((3, 3)), np.zeros(3)
    rows = re.sub(r"\s", "", text).lower().split(",")
    terms = [re.findall(r"[+-]?[^+-]+|[+-]", row) for row in rows]
    matches = [[TERM.fullmatch(term) for term in of_row] for of_row in terms]
    if len(rows) != len(rotation) or not all(of_row and all(of_row) for of_row in matches):
        raise InvalidStructureError(
            f"symmetry operation {shorten(text, 40)!r} of the CIF cannot be read; expected one like '-x, y+1/2, -z'."
        )
    for k, of_row in enumerate(matches):
        for match in filter(None, of_row):
            sign, above, below, decimal, axis = match.groups()
            size = int(above) / int(below) if above else float(decimal or bool(axis))
            value = -size if sign == "-" else size
            if axis:
                rotation[k, "xyz".index(axis)] += value
            else:
                translation[k] += value
    exact = np.round(translation * TRANSLATION_STEPS) / TRANSLATION_STEPS
    return rotation, np.where(np.abs(translation - exact) < ROUNDED, exact, translation)


def _check_group(rotations: NDArray[np.float64], translations: NDArray[np.float64]) -> None:
    """Check that the product of any two operations is one of them, but for lattice vectors.

    It is where every rotation comes with the same centring translations, and the products of one operation for each
    rotation are operations.

    Raises:
        InvalidStructureError: one is missing or a misprint.

    """
    kinds, first, kind = np.unique(rotations.reshape(-1, 9), axis=0, return_index=True, return_inverse=True)
    kept, shifts = rotations[first], translations[first]
    identity = (kinds == np.eye(3).ravel()).all(axis=1)
    centring = translations[identity[kind]]
    products = np.einsum("aij,bjk->abik", kept, kept).reshape(len(kept), len(kept), 1, 9)
    same = (products == kinds).all(axis=3)
    product_shifts = np.einsum("aij,bj->abi", kept, shifts) + shifts[:, None]
    closed = (
        bool(identity.any() and same.any(axis=2).all())
        and bool(_among(product_shifts - shifts[same.argmax(axis=2)], centring).all())
        and all(_among(centring + shift, translations[kind == k]).all() for k, shift in enumerate(shifts))
        and bool(_among(translations - shifts[kind], centring).all())
        and all(_among(centring + shift, centring).all() for shift in centring)
    )
    if not closed:
        raise InvalidStructureError(
            f"the {len(rotations)} symmetry operations that the CIF lists are no group: one is missing or a misprint."
        )


def _among(found: NDArray[np.float64], translations: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether each translation found, (..., 3), is one of those given, (m, 3), but for lattice vectors."""
    delta = found[..., None, :] - translations
    delta -= np.round(delta)
    same: NDArray[np.bool_] = (np.abs(delta).max(axis=-1) < SAME_TRANSLATION).any(axis=-1)
    return same


def _check_complete(n_listed: int, values: Mapping[str, list[str]], cell: NDArray[np.float64]) -> None:
    """Check that the list is as long as that of the group beside it; the identity alone is taken as it is.

    Raises:
        InvalidStructureError: it is shorter, as where the centring of the lattice is left out.

    """
    for symbol in _given(values, SYMBOL):
        named = _fitting(settings_of_symbol(symbol), cell)
        if named and 1 < n_listed < (expected := len(operations_of(named[0])[0])):
            raise InvalidStructureError(
                f"the CIF lists {n_listed} symmetry operations, and its space group {shorten(symbol, 40)!r} has "
                f"{expected} in this cell. Correct the one that is wrong."
            )


def _operations_of_group(values: Mapping[str, list[str]], cell: NDArray[np.float64]) -> Operations:
    """Return the operations of the one setting that the CIF's symbols, number and cell leave; P1 if it names none."""
    named = [text for text in _given(values, ANY_NAME) if re.sub(r"[\s_]", "", text).lower() not in NO_SYMMETRY]
    if not named:
        return operations_of(1)
    name = repr(shorten(named[0], 40))
    settings_left, symbol_known = _settings_left(values, name)
    fitting = _fitting(settings_left, cell)
    if not fitting:
        raise InvalidStructureError(f"space group {name} does not fit its cell: another setting or a misprint.")
    if {settings()[k].choice[:1] for k in fitting} >= {"1", "2"}:
        raise InvalidStructureError(
            f"space group {name} has two choices of the origin, and the CIF does not tell which one its atoms are "
            "given with. List the symmetry operations in the CIF."
        )
    several = len({settings()[k].hall_symbol for k in fitting}) > 1
    if several and not symbol_known:
        raise InvalidStructureError(
            f"space group {name} is not known, and its number has several settings. List the symmetry operations in "
            "the CIF."
        )
    if several and not is_usual(fitting[0]):
        raise InvalidStructureError(
            f"space group {name} has several settings in this cell. List the symmetry operations in the CIF."
        )
    return operations_of(fitting[0])


def _settings_left(values: Mapping[str, list[str]], name: str) -> tuple[frozenset[int], bool]:
    """Return the settings that all symbols and numbers of a CIF allow, and whether a symbol or only the number counts.

    Raises:
        InvalidStructureError: there is none.

    """
    symbols, hall_symbols, numbers = (_given(values, keys) for keys in (SYMBOL, HALL_SYMBOL, NUMBER))
    allowed = [found for symbol in symbols if (found := settings_of_symbol(symbol))]
    allowed += [settings_of_hall_symbol(symbol) for symbol in hall_symbols]
    symbol_known = bool(allowed) or not symbols
    by_number = settings_of_number if symbols or allowed else usual_settings
    allowed += [by_number(int(number)) if number.isdecimal() else frozenset() for number in numbers]
    if not allowed:
        raise InvalidStructureError(f"space group {name} is not known. List the symmetry operations in the CIF.")
    left = frozenset.intersection(*allowed)
    if not left:
        given = ", ".join(dict.fromkeys([*symbols, *hall_symbols, *numbers]))
        raise InvalidStructureError(
            f"the CIF's names of its space group are not known or no names of one setting: {shorten(given, 100)}. "
            "List the symmetry operations in the CIF."
        )
    return left, symbol_known


def _fitting(candidates: Iterable[int], cell: NDArray[np.float64]) -> list[int]:
    """Return the settings that fit a cell and of these, in the order of the table, those that fit it best."""
    misfits = {k: float(_misfits(operations_of(k)[0], cell).max()) for k in sorted(candidates)}
    best = min(misfits.values(), default=0.0)
    return [k for k, misfit in misfits.items() if misfit <= min(best + EQUAL_MISFIT, CELL_MISMATCH)]


def _given(values: Mapping[str, list[str]], keys: re.Pattern[str]) -> list[str]:
    """Return what the CIF says under these keys."""
    found = [text for key, texts in values.items() if keys.fullmatch(key) for text in texts]
    return [text.strip() for text in found if text.strip() not in ("", "?", ".")]
