"""The look, as far as Gradio's theme carries it; the rest is in studio.css.

Blue is a person and orange is a model, everywhere (Okabe and Ito's palette, told apart by colour-blind
eyes too). The primary colour is the blue: what a person presses is theirs. Only fonts that come with
Gradio or with the system: nothing is fetched from elsewhere.
"""

from __future__ import annotations

from typing import Any

import gradio as gr
from gradio.themes.utils import fonts

BLUE = gr.themes.Color(
    name="person",
    c50="#eef6fb",
    c100="#d7eaf6",
    c200="#afd5ec",
    c300="#7fbde0",
    c400="#3f9ccf",
    c500="#0c7fbf",
    c600="#0072b2",
    c700="#005c91",
    c800="#064b74",
    c900="#0a3f60",
    c950="#072a42",
)
SLATE = gr.themes.Color(
    name="slate",
    c50="#f7f8fa",
    c100="#eef0f4",
    c200="#dfe3ea",
    c300="#c6ccd7",
    c400="#98a1b0",
    c500="#626c7c",  # 4.5 to 1 and more on each of the light grounds
    c600="#4f5867",
    c700="#394150",
    c800="#242a35",
    c900="#1a1f28",
    c950="#12161d",
)


def studio_theme() -> Any:
    """A dense, flat theme with one accent."""
    theme = gr.themes.Base(
        primary_hue=BLUE,
        secondary_hue=BLUE,
        neutral_hue=SLATE,
        spacing_size=gr.themes.sizes.spacing_sm,
        radius_size=gr.themes.sizes.radius_md,
        text_size=gr.themes.sizes.text_md,
        font=(
            # The SemiBold that comes with Gradio has no Latin letters: Regular and Bold are whole.
            fonts.LocalFont("IBM Plex Sans", weights=(400, 700)),
            fonts.Font("system-ui"),
            fonts.Font("sans-serif"),
        ),
        font_mono=(
            fonts.LocalFont("IBM Plex Mono", weights=(400, 700)),
            fonts.Font("ui-monospace"),
            fonts.Font("monospace"),
        ),
    )
    return theme.set(
        body_background_fill="*neutral_50",
        body_background_fill_dark="*neutral_950",
        body_text_color="#1c2430",
        body_text_color_dark="#e6e9ee",
        body_text_color_subdued="#566072",
        body_text_color_subdued_dark="#a3adbd",
        block_background_fill="white",
        block_background_fill_dark="*neutral_900",
        block_border_color="*neutral_200",
        block_border_color_dark="*neutral_700",
        block_shadow="none",
        block_label_background_fill="transparent",
        block_label_border_width="0px",
        block_label_text_color="*body_text_color_subdued",
        block_title_text_weight="600",
        input_background_fill="white",
        input_background_fill_dark="*neutral_950",
        # An input's edge is its only mark: 3:1 against the page.
        input_border_width="1px",
        input_border_width_dark="1px",
        input_border_color="#8a94a3",
        input_border_color_dark="#667080",
        button_primary_background_fill="*primary_600",
        button_primary_background_fill_hover="*primary_700",
        button_primary_background_fill_dark="*primary_600",
        button_primary_background_fill_hover_dark="*primary_500",
        button_primary_text_color="white",
        button_secondary_background_fill="white",
        button_secondary_background_fill_hover="*neutral_100",
        button_secondary_background_fill_dark="*neutral_800",
        button_secondary_background_fill_hover_dark="*neutral_700",
        button_secondary_border_color="*neutral_300",
        button_secondary_border_color_dark="*neutral_600",
        button_border_width="1px",
        button_transition="none",
        shadow_drop="none",
        shadow_drop_lg="none",
    )
