"""The studio: the pages where people run and watch the pipeline."""
