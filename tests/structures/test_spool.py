"""Texts kept on disk come back as they were."""

import pytest

from uniscreen.structures import ReadLimits, read_candidates
from uniscreen.structures.spool import SpooledTexts

TEXTS = ["first", "", "zweite Zeile é\n", "fourth\r\n", "lone surrogate \udc80"]


def test_texts_come_back_in_any_order():
    spooled = SpooledTexts("cif", iter(TEXTS))
    assert len(spooled) == len(TEXTS)
    assert [spooled[k].text for k in (4, 0, 2, 1, 3)] == [TEXTS[k] for k in (4, 0, 2, 1, 3)]
    assert spooled[-1] == spooled[4]
    assert [source.text for source in spooled[1:3]] == TEXTS[1:3]
    assert spooled[0].kind == "cif"
    with pytest.raises(IndexError):
        spooled[5]


def test_candidates_are_made_of_them_when_asked_for(tmp_path):
    poscar = "Si\n1.0\n{a} 0 0\n0 {a} 0\n0 0 {a}\nSi\n1\nDirect\n0 0 0\n"
    lines = [f'c{k},"{poscar.format(a=2 + k)}"' for k in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["id,poscar", *lines]))
    table = read_candidates(tmp_path / "t.csv", limit=3)
    assert [candidate.id for candidate in table] == table.candidates.ids == ["c0", "c1", "c2"]
    assert [one.source.load(ReadLimits()).cell[0, 0] for one in table.candidates[1:]] == [3.0, 4.0]
    assert table.sample(2, seed=0).candidates[0].source.load(ReadLimits()).cell[0, 0] in (2.0, 3.0, 4.0)
    with pytest.raises(IndexError):
        table.candidates[3]
