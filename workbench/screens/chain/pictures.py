"""A chain's lineage, and what one size is made of, as inline SVG.

Lines and text take the page's text colour (``currentColor``), so the pictures follow the light and the dark theme; the same
facts are their accessible names.
"""

from __future__ import annotations

import html
import math
from collections.abc import Sequence

from core.chains.folder import Anchor, Chain, Target
from core.models.dimensions import Dimensions
from core.system import units
from workbench.screens.chain import curve_analysis
from workbench.screens.shared import views
from workbench.screens.shared.theme import COPPER, TEAL
from workbench.store.chains import CreatedModel

CARD, GAP, HEIGHT = 190.0, 130.0, 66.0  # viewBox units, which are pixels on a wide page
CHIP_HEIGHT, CHIP_PITCH, MOST_CHIPS = 48.0, 58.0, 3
TOP, CHIPS_TOP = 6.0, 116.0
BLOCK, ROW = 26.0, 62.0
LONGEST = 22  # letters of a name in a card


def lineage(chain: Chain, teacher: str, created: Sequence[CreatedModel], bridge: str = "") -> str:
    """Return the teacher and its anchors from left to right, and below each pair of neighbours the models created from it.

    Args:
        bridge: the source of the teacher's training texts after bridge distillation, drawn first.
    """
    before = (CARD + GAP) * bool(bridge)
    count = len(chain.anchors)
    lefts = [before + number * (CARD + GAP) for number in range(count)]
    width, parts = before + count * CARD + (count - 1) * GAP, _bridge(bridge) if bridge else []
    deepest = 0.0  # chips below one pair of anchors; the line that counts the rest is half a chip
    for large, small in zip(chain.anchors[:-1], chain.anchors[1:], strict=True):
        parts.append(_arrow(lefts[large.number] + CARD, lefts[small.number], _tokens(small)))
        below = [model for model in created if model.target.larger_anchor == large.number]
        deepest = max(deepest, min(len(below), MOST_CHIPS) + (len(below) > MOST_CHIPS) * 0.5)
        middle = lefts[large.number] + CARD + GAP / 2
        if below:
            for anchor in (large, small):
                parts.append(_branch(lefts[anchor.number] + CARD / 2, middle + (-1 if anchor is large else 1) * CARD / 2))
        for place, model in enumerate(below[:MOST_CHIPS]):
            parts.append(_chip(middle, CHIPS_TOP + place * CHIP_PITCH, model))
        if len(below) > MOST_CHIPS:
            parts.append(_text(middle, CHIPS_TOP + MOST_CHIPS * CHIP_PITCH + 10, f"and {len(below) - MOST_CHIPS} more", anchor="middle"))
    for anchor in chain.anchors:
        name = f"anchor 0 · {_short(teacher)}" if anchor.number == 0 else f"anchor {anchor.number}"
        parts.append(_card(lefts[anchor.number], anchor, name))
    height = CHIPS_TOP + deepest * CHIP_PITCH if deepest else TOP + HEIGHT + 8
    words = "; ".join([*filter(None, [bridge]), *(
        f"anchor {each.number}: {_size(each.parameters, each.dimensions)}, {_quality(each.validation_loss)}" for each in chain.anchors),
        *(f"created: {model.name}" for model in created)])
    return views.scrollable(
        f'<svg viewBox="-2 0 {width + 4:g} {height:g}" role="img" aria-label="Lineage. {html.escape(words)}" '
        f'style="width:100%;min-width:{min(width, 660):g}px;max-width:{width + 4:g}px;height:auto;display:block">{"".join(parts)}</svg>')


def composition(chain: Chain, target: Target) -> str:
    """Where the blocks of a model made by substitution come from: the larger anchor above, the smaller one below."""
    large, small = curve_analysis.anchors_around(chain, target)
    sources = curve_analysis.composition(chain, target)
    rows = {large.number: large.dimensions.layers, None: len(sources), small.number: small.dimensions.layers}
    pitch = min(44.0, 400.0 / max(rows.values()))
    width = pitch * max(rows.values())
    places = {key: [(width - pitch * count) / 2 + (place + 0.5) * pitch for place in range(count)] for key, count in rows.items()}
    tops = {large.number: 16.0, None: 16.0 + ROW, small.number: 16.0 + 2 * ROW}
    used, parts = {source for source in sources if source}, []
    for place, source in enumerate(sources):
        if source is not None:
            number, block = source
            above = number == large.number
            start, end = (tops[number] + BLOCK, tops[None]) if above else (tops[number], tops[None] + BLOCK)
            parts.append(_line(places[number][block], start, places[None][place], end, COPPER if above else TEAL))
    for key in rows:
        for place, x in enumerate(places[key]):
            source = sources[place] if key is None else (key, place) if (key, place) in used else None
            colour = None if source is None else COPPER if source[0] == large.number else TEAL
            parts.append(_block(x, tops[key], pitch * 0.84, str(place) if key is not None else "", colour))
    for key, label in ((large.number, f"anchor {large.number}"), (None, "this size"), (small.number, f"anchor {small.number}")):
        parts.append(_text(0, tops[key] - 5, label))
    words = describe(chain, target)
    return (f'<svg viewBox="0 0 {width:g} {tops[small.number] + BLOCK + 2:g}" role="img" aria-label="{html.escape(words)}" '
            f'style="width:100%;max-width:{width * 1.1:g}px;height:auto;display:block">{"".join(parts)}</svg>')


def describe(chain: Chain, target: Target) -> str:
    """Return the same in words."""
    large, small = curve_analysis.anchors_around(chain, target)
    back, spans = chain.swaps(target), chain.spans(target.larger_anchor)
    if not back:
        return f"All {small.dimensions.layers} blocks of anchor {small.number}, at another inner width."
    swaps = [f"block {block} for {_span(spans[block])}" for block in back]
    listed = " and ".join(filter(None, (", ".join(swaps[:-1]), swaps[-1])))
    identity = curve_analysis.composition(chain, target).count(None)
    rest = f" {identity} identity block{'s are' if identity > 1 else ' is'} added." if identity else ""
    return f"Anchor {small.number} with blocks replaced by the blocks of anchor {large.number} they were aligned with: {listed}.{rest}"


def _span(run: range) -> str:
    return f"block {run[0]}" if len(run) == 1 else f"blocks {run[0]} to {run[-1]}"


def _tokens(anchor: Anchor) -> str:
    return f"{units.count(anchor.tokens)} tokens" if anchor.tokens else "not trained"


def _card(left: float, anchor: Anchor, name: str) -> str:
    sizes = anchor.dimensions
    return (f'<rect x="{left:g}" y="{TOP:g}" width="{CARD:g}" height="{HEIGHT:g}" rx="7" fill="{COPPER}" fill-opacity="0.1" '
            f'stroke="{COPPER}" stroke-width="1.4"/>'
            + _text(left + 11, TOP + 19, name, size=12.5, weight=600, opacity=1)
            + _text(left + 11, TOP + 37, _size(anchor.parameters, sizes), opacity=0.85)
            + _text(left + 11, TOP + 54, _quality(anchor.validation_loss), opacity=0.85))


def _bridge(words: str) -> list[str]:
    name, _, wrote = words.partition(" wrote ")
    return [f'<rect x="0" y="{TOP:g}" width="{CARD:g}" height="{HEIGHT:g}" rx="7" fill="none" stroke="currentColor" stroke-opacity="0.5" '
            'stroke-width="1.2" stroke-dasharray="5 3"/>',
            _text(11, TOP + 19, name if len(name) <= LONGEST else f"{name[:LONGEST - 1]}…", size=12.5, weight=600, opacity=1),
            _text(11, TOP + 37, f"wrote {wrote}", opacity=0.85), _text(11, TOP + 54, "another vocabulary", opacity=0.85),
            _arrow(CARD, CARD + GAP, "read as text", above="bridge")]


def _chip(middle: float, top: float, model: CreatedModel) -> str:
    left = middle - CARD / 2
    loss, way = model.losses.get("this"), "" if model.alpha is None else f"alpha {model.alpha:.2f} · "
    return (f'<rect x="{left:g}" y="{top:g}" width="{CARD:g}" height="{CHIP_HEIGHT:g}" rx="7" fill="{TEAL}" fill-opacity="0.1" '
            f'stroke="{TEAL}" stroke-width="1.2"/>'
            + _text(left + 11, top + 19, _size(model.target.parameters, model.target.dimensions), weight=600, opacity=1)
            + _text(left + 11, top + 36, f"{way}{_quality(loss, perplexity=not way)}" if loss is not None else model.method, opacity=0.85))


def _size(parameters: int, sizes: Dimensions) -> str:
    return f"{units.count(parameters)} parameters · {sizes.layers} blocks"


def _quality(loss: float, *, perplexity: bool = True) -> str:
    return f"{loss:.2f} nats/token" + (f" · ppl {math.exp(loss):.3g}" if perplexity and loss <= 20 else "")


def _short(name: str) -> str:
    tail = name.rstrip("/").rpartition("/")[2] or name
    return tail if len(tail) <= LONGEST - 8 else f"{tail[:LONGEST - 9]}…"


def _arrow(start: float, end: float, label: str, *, above: str = "distilled") -> str:
    y = TOP + HEIGHT / 2
    return (f'<path d="M{start + 4:g} {y:g} H{end - 7:g} m-5 -4 l6 4 l-6 4" fill="none" stroke="currentColor" stroke-opacity="0.5" '
            f'stroke-width="1.4" stroke-linecap="round" stroke-linejoin="round"/>'
            + _text((start + end) / 2, y - 8, above, anchor="middle", size=10.5)
            + _text((start + end) / 2, y + 16, label, anchor="middle", size=10.5))


def _branch(x: float, end: float) -> str:
    y = CHIPS_TOP + CHIP_HEIGHT / 2
    bend = 7 if end > x else -7
    return (f'<path d="M{x:g} {TOP + HEIGHT:g} V{y - 7:g} q0 7 {bend:g} 7 H{end:g}" fill="none" stroke="{TEAL}" stroke-opacity="0.6" '
            'stroke-width="1.3"/>')


def _line(x0: float, y0: float, x1: float, y1: float, colour: str) -> str:
    middle = (y0 + y1) / 2
    return (f'<path d="M{x0:.1f} {y0:g} C{x0:.1f} {middle:g} {x1:.1f} {middle:g} {x1:.1f} {y1:g}" fill="none" stroke="{colour}" '
            'stroke-width="1.5" stroke-opacity="0.7"/>')


def _block(centre: float, top: float, width: float, label: str, colour: str | None) -> str:
    paint = f'fill="{colour}"' if colour else 'fill="none" stroke="currentColor" stroke-opacity="0.35"'
    text = "" if width < 12 else (
        f'<text x="{centre:.1f}" y="{top + BLOCK / 2 + 4:.1f}" text-anchor="middle" font-size="11" '
        f'fill="{"#ffffff" if colour else "currentColor"}" fill-opacity="{1 if colour else 0.5}">{label}</text>')
    return f'<rect x="{centre - width / 2:.1f}" y="{top:g}" width="{width:.1f}" height="{BLOCK:g}" rx="4" {paint}/>{text}'


def _text(x: float, y: float, text: str, *, size: float = 11.5, weight: int = 400, opacity: float = 0.7, anchor: str = "start") -> str:
    return (f'<text x="{x:g}" y="{y:g}" font-size="{size:g}" font-weight="{weight}" text-anchor="{anchor}" fill="currentColor" '
            f'fill-opacity="{opacity:g}">{html.escape(text)}</text>')


