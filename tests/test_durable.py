"""Files that are replaced whole, or not at all."""

import pytest

from uniscreen.durable import replacing


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "table.csv"
    path.write_text("old")
    with pytest.raises(TypeError), replacing(path) as file:
        file.writelines([b"ne", "w"])
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
