"""Decomposition in words."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from pymatgen.core import Composition

from uniscreen.thermodynamics import CompetingEntry, Hull, ReferenceSet, reaction


def phase(formula):
    return CompetingEntry(formula, Composition(formula).get_el_amt_dict(), 0.0)


@pytest.mark.parametrize(
    ("formula", "shares", "expected"),
    [
        ("LiCoO2", {"Li2O": 0.375, "Co2O3": 0.625}, "LiCoO2 -> 0.5 Co2O3 + 0.5 Li2O"),
        ("Li4Co4O8", {"Li2O": 0.375, "Co2O3": 0.625}, "LiCoO2 -> 0.5 Co2O3 + 0.5 Li2O"),
        ("Li2O2", {"Li2O": 0.75, "O": 0.25}, "Li2O2 -> Li2O + 0.5 O2"),
        ("LiNi3", {"Li": 0.25, "Ni": 0.75}, "LiNi3 -> 3 Ni + Li"),
        ("LiNiO2", {"LiNi2O3": 0.5, "Li2NiO3": 0.5}, "LiNiO2 -> 0.3333 Li2NiO3 + 0.3333 LiNi2O3"),
    ],
)
def test_one_formula_unit(formula, shares, expected):
    products = [(phase(product), share) for product, share in shares.items()]
    assert reaction(Composition(formula).get_el_amt_dict(), products) == expected


def test_reactions_of_published_entries_balance(shared_path):
    references = ReferenceSet.from_file(shared_path("mp/li-co-ni-o-entries.json.gz"))
    hull = Hull(references)
    checked = 0
    for entry in references.entries:
        products = hull.place(entry).products
        if not products:
            assert len(entry.amounts) == 1
            continue
        left, right = reaction(entry.amounts, products).split(" -> ")
        atoms = Counter()
        for term in right.split(" + "):
            coefficient, formula = re.fullmatch(r"(?:([\d.e-]+) )?(\S+)", term).groups()
            for element, n in Composition(formula).get_el_amt_dict().items():
                atoms[element] += float(coefficient or 1) * n
        assert dict(atoms) == pytest.approx(Composition(left).get_el_amt_dict(), rel=2e-3)
        assert Composition(left).reduced_formula not in right.split()
        checked += 1
    assert checked > 700
