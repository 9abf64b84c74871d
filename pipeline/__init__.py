"""Constitutional AI as a headless pipeline (Bai et al. 2022, arXiv 2212.08073).

Knows neither gradio nor duckdb, and imports torch only inside the functions that run a model.
"""
