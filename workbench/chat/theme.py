"""How the pane looks: the pages' accent and neutrals as a Gradio theme, its own style sheet, light or dark with the page.

No font is fetched from anywhere.
"""

from __future__ import annotations

from pathlib import Path

import gradio as gr

CSS = Path(__file__).with_name("pane.css").read_text(encoding="utf-8")
FOLLOW_PAGE = Path(__file__).with_name("pane.js").read_text(encoding="utf-8")

# Around the accents and backgrounds of workbench/.streamlit/config.toml.
ACCENT = gr.themes.Color(c50="#eefaf8", c100="#d3f1ed", c200="#a8e2dc", c300="#74cdc5", c400="#3fb1a8", c500="#0f857a",
                         c600="#0b7a75", c700="#0a625e", c800="#0b4e4b", c900="#0c403e", c950="#052625")
NEUTRAL = gr.themes.Color(c50="#f3f6f6", c100="#e8eded", c200="#d9e0e0", c300="#c2cccd", c400="#9aa7a9", c500="#728083",
                          c600="#57646a", c700="#364044", c800="#232b2e", c900="#1a2123", c950="#101517")
THEME = gr.themes.Default(
    primary_hue=ACCENT, secondary_hue=ACCENT, neutral_hue=NEUTRAL, text_size=gr.themes.sizes.text_sm,
    font=[gr.themes.Font(name) for name in ("system-ui", "-apple-system", "Segoe UI", "Roboto", "Liberation Sans", "Arial", "sans-serif")],
    font_mono=[gr.themes.Font(name) for name in ("ui-monospace", "Menlo", "Consolas", "Liberation Mono", "monospace")],
).set(body_text_color_subdued="*neutral_600", body_text_color_subdued_dark="*neutral_400")
