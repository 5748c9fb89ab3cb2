"""Choose which teacher block becomes which student block.

A layer map is a tuple of teacher block numbers from 0, ascending, one for each student block: ``(0, 2, 5, 7)`` builds a
student of four blocks from a teacher of eight or more. A student that starts from some of its teacher's blocks is PKD's (1908.09355)
and DistilBERT's (1910.01108, section 3); blocks chosen by the loss without them are Shortened LLaMA's (2402.02834), and
ShortGPT's (2403.03853) by another score.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Literal

from core.config import LayerRule, StudentSpec
from core.errors import ConfigError, SetField

LayerMap = tuple[int, ...]

# (teacher blocks, student blocks) -> map. DistilBERT's extraction script for 12 -> 6 (1910.01108), the BART students'
# `make_student` script for the other depths; its fall-back to the first blocks for unknown pairs is left out.
TABLE: dict[tuple[int, int], LayerMap] = {
    (12, 1): (0,),
    (12, 2): (0, 6),
    (12, 3): (0, 6, 11),
    (12, 4): (0, 4, 8, 11),
    (12, 6): (0, 2, 4, 7, 9, 11),
    (12, 9): (0, 1, 2, 4, 5, 7, 9, 10, 11),
    (16, 2): (0, 15),
    (16, 3): (0, 8, 15),
    (16, 4): (0, 5, 10, 15),
    (16, 6): (0, 3, 6, 9, 12, 15),
    (16, 8): (0, 2, 4, 6, 8, 10, 12, 15),
    (6, 2): (0, 5),
    (6, 3): (0, 2, 5),
    (6, 4): (0, 1, 3, 5),
}


def student_depth(spec: StudentSpec, teacher_layers: int) -> int:
    """Return the number of blocks of the student: as given, as many as an explicit map lists, or half of the teacher's.

    Raises:
        ConfigError: more blocks than the teacher has.
    """
    if isinstance(spec.layer_map, tuple):
        depth = len(spec.layer_map)
    else:
        depth = spec.layers if spec.layers is not None else max(1, teacher_layers // 2)
    _check_depth(depth, teacher_layers)
    return depth


def student_map(spec: StudentSpec, teacher_layers: int, importance: Sequence[float] | None = None) -> LayerMap:
    """Return the layer map that `spec` asks for; see `layer_map`."""
    return layer_map(spec.layer_map, teacher_layers, student_depth(spec, teacher_layers), importance)


def layer_map(rule: LayerRule | LayerMap, teacher_layers: int, student_layers: int,
              importance: Sequence[float] | None = None) -> LayerMap:
    """Choose `student_layers` of `teacher_layers` blocks.

    Args:
        rule: ``uniform`` spreads evenly, first and last kept; ``table`` looks the published maps up; ``importance`` keeps the
            blocks whose removal costs most; ``first`` keeps the first ones; a tuple is checked and returned as it is.
            At equal depth every rule keeps all blocks.
        importance: one number a teacher block, higher is more important; only for the rule ``importance``
            (see `core.students.build.block_importance`).

    Raises:
        ConfigError: a depth below 1 or above the teacher's, block numbers that do not exist, a pair that the table lacks.
    """
    _check_depth(student_layers, teacher_layers)
    if isinstance(rule, tuple):
        return _checked(rule, teacher_layers, student_layers)
    if student_layers == teacher_layers or rule == "first":
        return tuple(range(student_layers))
    if rule == "uniform":
        return _uniform(teacher_layers, student_layers)
    if rule == "table":
        return _published(teacher_layers, student_layers)
    if importance is None or len(importance) != teacher_layers:
        raise ValueError(f"the rule 'importance' needs one number for each of the {teacher_layers} teacher blocks")
    by_importance = sorted(range(teacher_layers), key=lambda block: -importance[block])
    return tuple(sorted(by_importance[:student_layers]))


def span_ends(teacher_layers: int, student_layers: int) -> tuple[int, ...]:
    """Return the last teacher block of each student block's span: spans as equal as they can be, none empty."""
    return tuple(((block + 1) * teacher_layers + student_layers // 2) // student_layers - 1 for block in range(student_layers))


def matched_blocks(rule: Literal["origin", "ends"], layer_map: LayerMap, teacher_layers: int) -> LayerMap:
    """Return the teacher block whose output each student block is matched with, by ``losses.hidden_layers``."""
    return span_ends(teacher_layers, len(layer_map)) if rule == "ends" else layer_map


def layer_spans(ends: Sequence[int]) -> list[range]:
    """Return the span of teacher blocks of each student block, from the last block of each span."""
    return [range(start, end + 1) for start, end in zip((0, *(end + 1 for end in ends[:-1])), ends, strict=True)]


def _uniform(teacher_layers: int, student_layers: int) -> LayerMap:
    """Return round(linspace(0, L_T - 1, L_S)) in exact arithmetic; a single block is the first one."""
    if student_layers == 1:
        return (0,)
    return tuple(round(Fraction(i * (teacher_layers - 1), student_layers - 1)) for i in range(student_layers))


def _published(teacher_layers: int, student_layers: int) -> LayerMap:
    if (teacher_layers, student_layers) in TABLE:
        return TABLE[teacher_layers, student_layers]
    depths = [str(student) for teacher, student in sorted(TABLE) if teacher == teacher_layers]
    expected = (f"For {teacher_layers} blocks the published tables have students of {', '.join(depths)} blocks." if depths else
                f"The published tables have teachers of {', '.join(str(n) for n in sorted({t for t, _ in TABLE}))} blocks.")
    raise ConfigError(f"student.layer_map is 'table' for a student of {student_layers} from a teacher of {teacher_layers} blocks.",
                      expected, "Use 'uniform', or list the blocks yourself.", suggestion=SetField("student.layer_map", "uniform"))


def _checked(blocks: LayerMap, teacher_layers: int, student_layers: int) -> LayerMap:
    if len(blocks) != student_layers or list(blocks) != sorted(set(blocks)) or blocks[0] < 0 or blocks[-1] >= teacher_layers:
        raise ConfigError(f"student.layer_map was given as {list(blocks)}.",
                          f"{student_layers} ascending block numbers from 0 to {teacher_layers - 1} were expected, each once.",
                          field="student.layer_map")
    return blocks


def _check_depth(depth: int, teacher_layers: int) -> None:
    if not 1 <= depth <= teacher_layers:
        raise ConfigError(f"A student of {depth} blocks was requested.",
                          f"The teacher has {teacher_layers} blocks, so 1 to {teacher_layers} were expected.",
                          f"Set student.layers to a number from 1 to {teacher_layers}.", field="student.layers")
