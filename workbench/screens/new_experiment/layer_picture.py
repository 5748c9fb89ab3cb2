"""Which teacher block becomes which student block, as an inline SVG.

Lines and text take the page's text colour (``currentColor``), so the picture follows the light and the dark theme; the
same facts are its accessible name and description.
"""

from __future__ import annotations

from collections.abc import Sequence

from workbench.screens.shared.theme import TEAL

WIDTH, BLOCK_HEIGHT = 400.0, 34.0
TEACHER_TOP, STUDENT_TOP = 22.0, 112.0
HEIGHT = STUDENT_TOP + BLOCK_HEIGHT + 22.0
WIDEST_BLOCK = 44.0
READABLE_WIDTH = 9.0  # viewBox units below which a two-digit block number no longer fits


def layer_picture(teacher_layers: int, student_layers: int, layer_map: Sequence[int] | None, *, copied: bool = True) -> str:
    """SVG text of the map.

    Args:
        teacher_layers: depth of the teacher, in blocks; 0 draws a student that has no teacher.
        student_layers: depth of the student, in blocks.
        layer_map: for each student block the number of its teacher block, from 0; None when that is not decided yet.
        copied: whether the student's blocks begin with the teacher's weights.
    """
    kept = set(layer_map or ())
    teacher_x, teacher_width = _places(teacher_layers)
    student_x, student_width = _places(student_layers)
    parts = []
    for student, teacher in enumerate(layer_map or ()):
        parts.append(_line(teacher_x[teacher], student_x[student], dashed=not copied))
    for number, x in enumerate(teacher_x):
        parts.append(_block(x, TEACHER_TOP, teacher_width, str(number), filled=number in kept, faint=number not in kept))
    for number, x in enumerate(student_x):
        parts.append(_block(x, STUDENT_TOP, student_width, str(number) if layer_map or not teacher_layers else "?",
                            filled=copied and bool(layer_map), faint=False))
    if teacher_layers:
        parts.append(_caption(12, f"Teacher, {_blocks(teacher_layers)}"))
    parts.append(_caption(HEIGHT - 7, f"Student, {_blocks(student_layers)}"))
    top = 0.0 if teacher_layers else STUDENT_TOP - 8
    title, description = "Layer map", describe_map(teacher_layers, student_layers, layer_map, copied=copied)
    return (f'<svg viewBox="0 {top:g} {WIDTH:g} {HEIGHT - top:g}" role="img" aria-label="{title}: {description}" '
            f'style="width:100%;max-width:600px;height:auto;display:block">{"".join(parts)}</svg>')


def describe_map(teacher_layers: int, student_layers: int, layer_map: Sequence[int] | None, *, copied: bool = True) -> str:
    """Return the same facts in words."""
    if not teacher_layers:
        return f"a student of {_blocks(student_layers)} with new weights and no teacher."
    if layer_map is None:
        return (f"{student_layers} of the teacher's {_blocks(teacher_layers)} will be chosen when the run starts, by the loss "
                "after removing each.")
    if list(layer_map) == list(range(teacher_layers)):
        pairs = "every block keeps its place"
    else:
        pairs = ", ".join(f"teacher block {teacher} becomes student block {student}" for student, teacher in enumerate(layer_map))
    weights = "" if copied else " The student's blocks begin with new weights; the map only pairs the layers."
    return f"{pairs}.{weights}"


def _places(layers: int) -> tuple[list[float], float]:
    """Centres of `layers` blocks spread over the whole width, and the width of one."""
    pitch = WIDTH / max(layers, 1)
    return [(number + 0.5) * pitch for number in range(layers)], min(WIDEST_BLOCK, pitch * 0.86)


def _block(centre: float, top: float, width: float, label: str, *, filled: bool, faint: bool) -> str:
    paint = f'fill="{TEAL}"' if filled else 'fill="none" stroke="currentColor" stroke-opacity="0.35"'
    text = ""
    if width >= READABLE_WIDTH or (filled and width >= 0.7 * READABLE_WIDTH):
        colour = 'fill="#ffffff"' if filled else f'fill="currentColor" fill-opacity="{0.5 if faint else 0.9}"'
        text = (f'<text x="{centre:.1f}" y="{top + BLOCK_HEIGHT / 2 + 4:.1f}" text-anchor="middle" '
                f'font-size="{min(12.0, width * 0.75):.1f}" {colour}>{label}</text>')
    return (f'<rect x="{centre - width / 2:.1f}" y="{top:g}" width="{width:.1f}" height="{BLOCK_HEIGHT:g}" '
            f'rx="{min(5.0, width / 4):.1f}" {paint}/>{text}')


def _line(teacher_centre: float, student_centre: float, *, dashed: bool) -> str:
    start, end = TEACHER_TOP + BLOCK_HEIGHT, STUDENT_TOP
    middle = (start + end) / 2
    dashes = ' stroke-dasharray="4 3"' if dashed else ""
    return (f'<path d="M{teacher_centre:.1f} {start:g} C{teacher_centre:.1f} {middle:g} {student_centre:.1f} {middle:g} '
            f'{student_centre:.1f} {end:g}" fill="none" stroke="{TEAL}" stroke-width="1.5" stroke-opacity="0.7"{dashes}/>')


def _caption(y: float, text: str) -> str:
    return f'<text x="0" y="{y:g}" font-size="11" fill="currentColor" fill-opacity="0.7">{text}</text>'


def _blocks(count: int) -> str:
    return f"{count} block{'' if count == 1 else 's'}"
