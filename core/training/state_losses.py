"""The loss terms on hidden states: the cosine distance of the last ones, and the squared error of matched blocks.

They know no temperature, and are weighted means over positions as those on logits (`core.training.losses`). Papers: FitNets, 1412.6550;
PKD, 1908.09355; TinyBERT, 1909.10351; cosine loss DistilBERT, 1910.01108.

Shapes: B blocks, T positions, N counted positions, D width.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def cosine_distance(student: Tensor, teacher: Tensor) -> Tensor:
    """1 - cos(h_s, h_t) per position, (N, D) and (N, D) -> (N,); DistilBERT's alignment term (1910.01108, section 2)."""
    return 1 - F.cosine_similarity(student.float(), teacher.float(), dim=-1)


class HiddenStateMatching(nn.Module):
    """Mean squared error between the outputs of matched blocks.

    It is that of FitNets (1412.6550, section 2.2), for transformers PKD (1908.09355, section 3.2) and TinyBERT (1909.10351, section 3.1).
    A learnt projection maps the student's width to the teacher's where they differ. The output of the last block is
    only seen after the final norm, so the student's last block takes part only where it stands for the teacher's last.

    Args:
        layer_map: teacher block of each student block.
        teacher_layers: depth of the teacher.
        student_width, teacher_width: channels of the two residual streams.
    """

    def __init__(self, layer_map: Sequence[int], teacher_layers: int, student_width: int, teacher_width: int) -> None:
        super().__init__()
        last = len(layer_map) - 1
        # hidden_states[0] is the embedding, hidden_states[i + 1] the output of block i.
        self.pairs = [(block + 1, teacher_block + 1) for block, teacher_block in enumerate(layer_map)
                      if (block == last) == (teacher_block == teacher_layers - 1)]
        self.projections = nn.ModuleList(
            nn.Linear(student_width, teacher_width, bias=False) for _ in self.pairs) if student_width != teacher_width else None

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor], counted: Tensor) -> Tensor:
        """Squared error per counted position, mean over channels and pairs.

        Args:
            student, teacher: hidden states, (B, T, D) each, embeddings first.
            counted: (B, T) bool.

        Returns:
            (N,), zeros when no pair can be compared.
        """
        total = torch.zeros(int(counted.sum()), dtype=torch.float32, device=counted.device)
        for index, (block, teacher_block) in enumerate(self.pairs):
            states = student[block][counted].float()
            if self.projections is not None:
                states = self.projections[index](states)
            total = total + (states - teacher[teacher_block][counted].float()).square().mean(-1)
        return total / max(len(self.pairs), 1)
