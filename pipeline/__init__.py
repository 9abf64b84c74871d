"""Constitutional AI as a headless pipeline (Bai et al. 2022, arXiv 2212.08073).

Knows neither gradio nor duckdb, and imports torch only inside the functions that run a model.
"""

import os

# Read by OpenMP when torch is loaded. By default its idle threads spin, and on a machine that does
# anything else they starve each other: 2 tokens/s instead of 13 on 2 busy cores.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
# Read by huggingface_hub when it is loaded: TRL's trainers and others would tell the hub what runs here.
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
