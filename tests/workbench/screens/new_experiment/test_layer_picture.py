"""The picture of the layer map, and the same in words."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from workbench.screens.new_experiment.layer_picture import WIDTH, describe_map, layer_picture

SPACE = "{http://www.w3.org/2000/svg}"


def parsed(svg: str) -> ElementTree.Element:
    return ElementTree.fromstring(svg.replace("<svg ", '<svg xmlns="http://www.w3.org/2000/svg" ', 1))


@pytest.mark.parametrize("depth", [1, 8, 30, 96])
def test_every_block_is_drawn_inside_the_picture(depth: int):
    chosen = tuple(range(0, depth, 2))
    picture = parsed(layer_picture(depth, len(chosen), chosen))
    boxes = picture.findall(f"{SPACE}rect")
    assert len(boxes) == depth + len(chosen)
    assert len(picture.findall(f"{SPACE}path")) == len(chosen)
    assert all(float(box.get("x")) >= 0 and float(box.get("x")) + float(box.get("width")) <= WIDTH for box in boxes)


def test_it_is_labelled_for_screen_readers():
    picture = parsed(layer_picture(4, 2, (0, 3)))
    assert picture.get("role") == "img"
    assert "teacher block 0 becomes student block 0, teacher block 3 becomes student block 1" in picture.get("aria-label")


def test_it_follows_the_text_colour():
    assert "currentColor" in layer_picture(4, 2, (0, 3))


def test_random_weights_are_dashed():
    assert "stroke-dasharray" in layer_picture(4, 2, (0, 3), copied=False)
    assert "stroke-dasharray" not in layer_picture(4, 2, (0, 3))


@pytest.mark.parametrize(("arguments", "words"), [
    ((4, 4, (0, 1, 2, 3)), "every block keeps its place"),
    ((8, 4, None), "chosen when the run starts"),
    ((0, 3, None), "3 blocks with new weights and no teacher"),
    ((8, 1, (0,)), "teacher block 0 becomes student block 0"),
])
def test_the_same_in_words(arguments: tuple, words: str):
    assert words in describe_map(*arguments)
