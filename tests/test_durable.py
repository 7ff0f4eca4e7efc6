"""Files that are replaced whole, or not at all."""

import errno
import json

import pytest

from uniscreen.durable import replacing, write_json


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"ne", "w"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_named_by_the_file(tmp_path):
    with pytest.raises(OSError, match="No space left") as caught, replacing(tmp_path / "weights"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert caught.value.filename == str(tmp_path / "weights")


def test_json_holds_letters_as_they_are_and_what_is_no_unicode_too(tmp_path):
    values = {"unit": "eV/Å", "file": "\udcff.cif"}
    write_json(tmp_path / "run.json", values)
    content = (tmp_path / "run.json").read_bytes()
    assert "eV/Å" in content.decode()
    assert json.loads(content) == values
