"""Names of points that can be read."""

from uniscreen.reports.labels import label_positions


def test_a_name_with_room_has_the_preferred_place():
    assert label_positions([(100, 100)], ["LiCoO2"]) == ["top center"]
    assert label_positions([(100, 100)], ["LiCoO2"], "bottom center") == ["bottom center"]
    assert label_positions([], []) == []


def test_names_do_not_cover_each_other_or_a_mark():
    assert label_positions([(100, 100), (115, 100)], ["LiCoO2", "Li2CoO3"]) == ["top center", "bottom center"]
    above = label_positions([(100, 100), (100, 84)], ["NiO", "CoO"])
    assert above[0] != "top center"
    assert above[1] == "top center"


def test_a_name_without_room_is_left_out():
    crowd = [(100 + 12 * i, 100 + 12 * j) for i in range(5) for j in range(5)]
    positions = label_positions(crowd, ["Li2CoO3"] * 25)
    assert None in positions
    assert positions[12] is None  # in the middle of it
