"""Parts hold the same share of each class."""

from __future__ import annotations

import torch

from core.classification.items import Items
from core.classification.splits import balanced, split_items

ITEMS = Items({"pixel_values": torch.arange(110.0)[:, None]}, torch.tensor([0] * 70 + [1] * 30 + [2] * 10))


def test_a_share_is_taken_of_each_class_and_the_rest_is_everything_else() -> None:
    rest, held = split_items(ITEMS, 0.2)
    assert torch.bincount(held.targets).tolist() == [14, 6, 2]
    both = torch.cat([rest.inputs["pixel_values"], held.inputs["pixel_values"]]).flatten()
    assert both.sort().values.tolist() == ITEMS.inputs["pixel_values"].flatten().tolist()


def test_few_items_are_as_many_of_each_class_as_there_are() -> None:
    assert torch.bincount(balanced(ITEMS, 36).targets).tolist() == [13, 13, 10]
    assert len(balanced(ITEMS, 1000)) == 110
