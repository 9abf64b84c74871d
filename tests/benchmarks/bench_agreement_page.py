"""Server time of the Agreement page: 100,000 labels, 2,000 judged pairs; each section, and a what-if.

python tests/benchmarks/bench_agreement_page.py [PAIRS] [PRINCIPLES] [JUDGED]
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from bench_audit import fill

from studio.components import agreement_asked, agreement_data, agreement_reweigh
from studio.components.agreement_calibration import calibration_section
from studio.components.agreement_exports import exports_section
from studio.components.agreement_gate import gate_section
from studio.components.agreement_sections import figures_section, labellers_section
from studio.components.agreement_triage import triage_section, versions_section
from studio.components.agreement_try import whatif_section
from studio.context import Studio

ROUNDS = 5


def main(many: int = 6250, principles: int = 16, judged: int = 2000) -> None:
    """Fill a session, then print the median seconds of each part of the page."""
    with tempfile.TemporaryDirectory() as folder:
        studio = Studio.open(Path(folder) / "bench", "bench")
        fill(studio.store, many, principles, judged)
        asked = agreement_asked.read(studio.store, {})
        picture: Any = timed("picture", lambda: agreement_data.picture(studio.store, asked))
        with gr.Blocks():
            chosen = [gr.Radio(), gr.Dropdown(), gr.Dropdown()]
            sections = {
                "gate": gate_section(studio, chosen),
                "figures": figures_section(studio),
                "labellers": labellers_section(studio),
                "triage": triage_section(studio, chosen),
                "versions": versions_section(studio, chosen),
                "what if": whatif_section(studio, chosen),
                "export": exports_section(studio, chosen),
                "calibration": calibration_section(studio, chosen),
            }
        for name, section in sections.items():
            timed(name, lambda section=section: section.render(picture))  # type: ignore[misc]
        weights = {f"principle-{i}": float(i % 3) for i in range(principles)}
        timed("a what-if, with its picture", lambda: whatif(studio, asked, weights))
        studio.close()


def whatif(studio: Studio, asked: Any, weights: dict[str, float]) -> None:
    """What a moved slider asks for."""
    picture: Any = agreement_data.picture(studio.store, asked)
    agreement_reweigh.reweigh(studio.store, picture, weights)


def timed(what: str, act: Callable[[], Any]) -> Any:
    """Run it some times; print the first and the median."""
    took, result = [], None
    for _ in range(ROUNDS):
        began = time.perf_counter()
        result = act()
        took.append(time.perf_counter() - began)
    print(f"{what:32} first {took[0]:6.3f} s, median {sorted(took)[ROUNDS // 2]:6.3f} s")  # noqa: T201
    return result


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
