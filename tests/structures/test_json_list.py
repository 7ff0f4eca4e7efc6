"""Lists of JSON values decoded one after the other are what ``json`` makes of the whole text."""

from __future__ import annotations

import io
import json

import pytest

from uniscreen.structures import json_list
from uniscreen.structures.json_list import NoListError, list_elements

LISTS = [
    "[]",
    " [ ] \n",
    "[1]",
    "[12, -3.5e7,0 , 1e-3]",
    '[{"a": [1, {"b": "]},["}], "c": null}, [], "x\\u00e9é\\"", true]',
    '[NaN, {"x": -Infinity}, 123456789012345678901234567890]',
    "[" + ", ".join(json.dumps({"id": k, "sites": [0.25] * k}) for k in range(30)) + "]",
]
WRAPS = [
    "{}",
    '{{"entries": {} }}',
    '{{"database": {{"version": "1"}}, "entries" :{}, "more": [1, 2]}}',
]


@pytest.mark.parametrize("chunk", [1, 3, 64, json_list.CHUNK])
@pytest.mark.parametrize("wrap", range(len(WRAPS)))
@pytest.mark.parametrize("number", range(len(LISTS)))
def test_elements_are_those_of_json(monkeypatch, number, wrap, chunk):
    monkeypatch.setattr(json_list, "CHUNK", chunk)
    text = WRAPS[wrap].format(LISTS[number])
    whole = json.loads(text)
    expected = whole if isinstance(whole, list) else whole["entries"]
    assert repr([*list_elements(io.StringIO(text), "entries")]) == repr(expected)  # NaN is not equal to itself


NOT_JSON = ["", "[", "[1", "[1,", "[1,]", "[1 2]", '["a]', "[1] 2", "nul", "{", '{"entries"', '{"entries": [1}']


@pytest.mark.parametrize("chunk", [1, json_list.CHUNK])
@pytest.mark.parametrize("text", [*NOT_JSON, '{"entries": [1]', "{1: 2}", '{"entries": [1],}', "[1.e5]", "[-]"])
def test_what_is_not_json(monkeypatch, text, chunk):
    monkeypatch.setattr(json_list, "CHUNK", chunk)
    with pytest.raises(ValueError, match=r".") as caught:
        [*list_elements(io.StringIO(text), "entries")]
    with pytest.raises(ValueError, match=r"."):
        json.loads(text)
    assert str(caught.value)


@pytest.mark.parametrize("text", ["3", '"text"', "{}", '{"a": [1]}', '{"entries": 3}', '{"entries": {"a": 1}}'])
def test_what_is_no_list(text):
    with pytest.raises(NoListError):
        [*list_elements(io.StringIO(text), "entries")]


def test_what_is_in_memory_is_a_piece_of_the_text(monkeypatch):
    monkeypatch.setattr(json_list, "CHUNK", 1000)
    element = json.dumps({"sites": ["x" * 90]})
    text = io.StringIO(f"[{', '.join([element] * 1000)}]")
    for k, found in enumerate(list_elements(text, "entries")):
        assert found == {"sites": ["x" * 90]}
        assert text.tell() <= len(element) * (k + 1) + 5 * 1000
