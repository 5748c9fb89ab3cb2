"""Images that are moved a little in training, as 1503.02531, section 3, did with its large network.

Shapes: B images, C channels, H height, W width.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from core.classification.training import Augment


def jitter(pixels: int) -> Augment | None:
    """Return what moves each image of a batch by up to so many pixels in both directions, zeros at its edges; None for 0 pixels."""
    if pixels == 0:
        return None

    def moved(arguments: Mapping[str, Tensor], generator: torch.Generator) -> Mapping[str, Tensor]:
        images = arguments["pixel_values"]  # (B, C, H, W)
        count, _, height, width = images.shape
        rows, columns = torch.randint(2 * pixels + 1, (2, count, 1), generator=generator)
        padded = F.pad(images, (pixels, pixels, pixels, pixels))
        down, right = (rows + torch.arange(height)).to(images.device), (columns + torch.arange(width)).to(images.device)
        place = torch.arange(count, device=images.device)[:, None, None]
        return {**arguments, "pixel_values": padded.movedim(1, -1)[place, down[:, :, None], right[:, None, :]].movedim(-1, 1)}

    return moved
