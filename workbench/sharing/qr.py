"""QR codes as SVG."""

from __future__ import annotations

import html
import io

import segno

from workbench.errors import LinkError

LARGEST = 1800  # characters: a code with more has dots too small for a camera at a projector's distance


def svg(text: str, *, label: str, scale: int = 5) -> str:
    """Return the QR code of a text as an SVG element, dark on white in either theme.

    Args:
        label: its name for screen readers.
        scale: pixels of a dot.

    Raises:
        LinkError: more text than a code holds that a camera can read.
    """
    if len(text) > LARGEST:
        raise LinkError(f"The link has {len(text):,} characters.", f"A QR code that a camera can read holds at most {LARGEST:,}.",
                        "Copy the link instead.")
    buffer = io.BytesIO()
    segno.make(text, error="m", micro=False).save(buffer, kind="svg", scale=scale, border=3, light="white", dark="black", xmldecl=False,
                                                  svgns=True, nl=False, omitsize=False)
    return buffer.getvalue().decode().replace("<svg ", f'<svg role="img" aria-label="{html.escape(label)}" ', 1)
