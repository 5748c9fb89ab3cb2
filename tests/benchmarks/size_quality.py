"""The README's figure of size and quality, from the house chain's own record: python -m tests.benchmarks.size_quality

A picture with a white ground, so that it reads the same on a light and on a dark page. Every marker says its numbers when it is
pointed at. New weights lie far above everything else and have a strip of their own.
"""

from __future__ import annotations

import html
import math
from collections.abc import Callable, Iterable
from pathlib import Path

from core.chains.folder import Chain, open_chain
from workbench.screens.chain import curve_analysis
from workbench.screens.shared.theme import BLUE, BROWN, COPPER, GREY, OLIVE, ROSE, TEAL, VIOLET

PICTURE = Path(__file__).resolve().parents[2] / "assets" / "size-quality.svg"
CHAIN = "house-chain"
WIDTH, LEFT, RIGHT = 900, 62, 880  # pixels
STRIP_TOP, STRIP_BOTTOM, TOP, BOTTOM, HEIGHT = 96, 136, 158, 540, 590
INK, PALE = "#364044", "#dfe5e6"
RANDOM = "new weights, three seeds"
# method -> what it is called, colour, dash, width, radius of its markers; in the order of the legend
LOOKS = {
    "substitution": ("substitution", TEAL, "", 2.6, 3.2),
    "interpolation": ("interpolation, default alpha", VIOLET, "", 1.8, 2.6),
    "best_alpha": ("interpolation, best alpha", VIOLET, "2 3", 1.6, 1.8),
    "nearest": ("nearest anchor as it is", BLUE, "", 1.4, 1.8),
    "alpha_0": ("alpha 0: larger anchor cut down", GREY, "7 3", 1.4, 1.8),
    "alpha_1": ("alpha 1: smaller anchor expanded", OLIVE, "2 2", 1.6, 1.8),
    "copied": ("smaller anchor, its blocks copied", ROSE, "7 3 2 3", 1.4, 1.8),
}


def svg(chain: Chain) -> str:
    """The picture."""
    sizes = [anchor.parameters for anchor in chain.anchors]
    losses = [loss for point in chain.curve for name, loss in point.losses.items() if name != "random" and loss is not None]
    seeds = [loss for point in chain.curve for loss in point.random]
    low, high = _around([*losses, *(anchor.validation_loss for anchor in chain.anchors)], 0.1)
    x = _scale(sizes[-1] * 0.97, sizes[0] * 1.02, LEFT, RIGHT)
    y, strip = _scale(low, high, BOTTOM, TOP), _scale(*_around(seeds, 0.2), STRIP_BOTTOM, STRIP_TOP)
    parts = [_frame(TOP, BOTTOM), _frame(STRIP_TOP, STRIP_BOTTOM)]
    parts += [_level(y(tick), f"{tick:.1f}") for tick in _ticks(low, high, 0.1)]
    parts.append(_text(LEFT - 8, strip(sum(seeds) / len(seeds)) + 4, f"{sum(seeds) / len(seeds):.1f}", anchor="end"))
    parts += [_text(x(tick), BOTTOM + 19, f"{tick / 1e6:g}M", anchor="middle") for tick in _ticks(sizes[-1], sizes[0], 5e5)]
    parts.append(_text((LEFT + RIGHT) / 2, HEIGHT - 12, "parameters", anchor="middle"))
    parts.append(f'<text transform="rotate(-90 17 {(TOP + BOTTOM) / 2:g})" x="17" y="{(TOP + BOTTOM) / 2:g}" text-anchor="middle">'
                 "validation loss (nats/token)</text>")
    for point in chain.curve:
        parts += [_dot(x(point.target.parameters), strip(loss), 2.2, BROWN, RANDOM, point.target.parameters, loss) for loss in point.random]
    for name in reversed(LOOKS):
        parts += _series(chain, name, x, y)
    for anchor in chain.anchors:
        middle = x(anchor.parameters), y(anchor.validation_loss)
        parts.append(_dot(*middle, 9, COPPER, f"anchor {anchor.number}", anchor.parameters, anchor.validation_loss))
        parts.append(f'<text x="{middle[0]:.1f}" y="{middle[1] + 4:.1f}" text-anchor="middle" fill="#fff" font-weight="600" '
                     f'pointer-events="none">{anchor.number}</text>')
    parts += _legend()
    words = (f"Validation loss over parameters of {len(chain.curve)} sizes between the {len(chain.anchors)} anchors of {chain.reference}, "
             "by substitution, by interpolation and by the baselines they are compared with")
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{html.escape(words)}" '
            f'font-family="system-ui,-apple-system,Segoe UI,Roboto,Liberation Sans,Arial,sans-serif" font-size="12.5" fill="{INK}">\n'
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#fff"/>\n' + "\n".join(parts) + "\n</svg>\n")


def _series(chain: Chain, name: str, x: Callable[[float], float], y: Callable[[float], float]) -> list[str]:
    label, colour, dash, width, radius = LOOKS[name]
    path, before = "", math.nan
    for parameters, loss in curve_analysis.curve(chain, name).itertuples(index=False):
        if math.isnan(parameters):
            before = math.nan
            continue
        step = f"H{(x(before) + x(parameters)) / 2:.1f}V{y(loss):.1f}" if name == "nearest" and not math.isnan(before) else ""
        path += f"{step}{'M' if math.isnan(before) else 'L'}{x(parameters):.1f} {y(loss):.1f}"
        before = parameters
    line = (f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width:g}" stroke-linejoin="round"'
            f'{f" stroke-dasharray={chr(34)}{dash}{chr(34)}" if dash else ""}/>')
    return [line, *(_dot(x(point.target.parameters), y(point.losses[name]), radius, colour, label, point.target.parameters,
                         point.losses[name]) for point in chain.curve if point.losses[name] is not None)]


def _legend() -> list[str]:
    entries = [*((label, colour, dash, width) for label, colour, dash, width, _ in LOOKS.values()), (RANDOM, BROWN, None, 0)]
    parts = []
    for place, (label, colour, dash, width) in enumerate(entries):
        left, top = LEFT + 282 * (place % 3), 22 + 22 * (place // 3)
        mark = f'<circle cx="{left + 13}" cy="{top - 4}" r="3" fill="{colour}"/>' if dash is None else (
            f'<path d="M{left} {top - 4}h26" stroke="{colour}" stroke-width="{width:g}" stroke-dasharray="{dash or "none"}"/>')
        parts += [mark, _text(left + 33, top, label)]
    left, top = LEFT + 282 * 2, 66
    return [*parts, f'<circle cx="{left + 13}" cy="{top - 4}" r="7" fill="{COPPER}"/>', _text(left + 33, top, "anchors")]


def _scale(low: float, high: float, start: float, end: float) -> Callable[[float], float]:
    return lambda value: start + (value - low) / (high - low) * (end - start)


def _around(values: Iterable[float], step: float) -> tuple[float, float]:
    """The multiples of `step` around all values."""
    values = list(values)
    return math.floor(min(values) / step) * step, math.ceil(max(values) / step) * step


def _ticks(low: float, high: float, step: float) -> list[float]:
    return [round(number * step, 6) for number in range(math.ceil(low / step - 1e-6), math.floor(high / step + 1e-6) + 1)]


def _frame(top: float, bottom: float) -> str:
    return f'<rect x="{LEFT}" y="{top}" width="{RIGHT - LEFT}" height="{bottom - top}" fill="none" stroke="{PALE}"/>'


def _level(y: float, label: str) -> str:
    return f'<path d="M{LEFT} {y:.1f}H{RIGHT}" stroke="{PALE}"/>{_text(LEFT - 8, y + 4, label, anchor="end")}'


def _text(x: float, y: float, text: str, *, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{html.escape(text)}</text>'


def _dot(x: float, y: float, radius: float, colour: str, label: str, parameters: int, loss: float) -> str:
    return (f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:g}" fill="{colour}"><title>{html.escape(label)}, {parameters:,}: {loss:.3f}'
            "</title></circle>")


if __name__ == "__main__":
    PICTURE.write_text(svg(open_chain(CHAIN)), encoding="utf-8")
    print(PICTURE)
