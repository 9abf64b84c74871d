"""A trained preference model: scores of answers, for RL, as a judge, and beside a chat (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import models
from pipeline.engines import EngineError
from pipeline.engines.encoding import Encoder
from pipeline.records import Message
from pipeline.train.examples import answered

TOKENS_AT_ONCE = 16384


class PreferenceModel:
    """One preference model in this process. `score` is the log-odds scale: differences mean something."""

    def __init__(self, name: str, *, files: models.ModelFiles | None = None) -> None:
        """Load it, in fp32. `files` is what the name means, where that is known already.

        Raises UserError where the name has no model or it is no preference model.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        from pipeline.engines.transformers import LOCAL

        disable_progress_bar()
        self.files = files or models.weights(name)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            model, report = AutoModelForSequenceClassification.from_pretrained(
                self.files.folder,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                **LOCAL,
            )
            tokenizer = AutoTokenizer.from_pretrained(self.files.folder, **LOCAL)
        except (OSError, ValueError, RuntimeError) as error:
            raise EngineError(f"{name} could not be loaded: {error}") from error
        if report["missing_keys"] or model.config.num_labels != 1:
            raise EngineError(f"{name}: is no preference model: train one with `cai pm`")
        self.name = name
        self.model: Any = model.to(device).eval()
        self.encoder = Encoder(tokenizer, name)
        self.limit = int(getattr(model.config, "max_position_embeddings", 0)) or 1 << 20

    def score(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        """The score of each (messages, answer). What is too long for the model loses its beginning."""
        import torch

        rows = [
            answered(self.encoder, messages, answer)[0][-self.limit :] for messages, answer in conversations
        ]
        scores: dict[int, float] = {}
        pad = self.model.config.pad_token_id
        for some in _batches(rows):
            longest = max(len(rows[i]) for i in some)
            ids = torch.tensor([rows[i] + [pad] * (longest - len(rows[i])) for i in some])
            mask = torch.tensor([[1] * len(rows[i]) + [0] * (longest - len(rows[i])) for i in some])
            with torch.inference_mode():
                device = self.model.device
                logits = self.model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits
            scores.update(zip(some, logits[:, 0].float().tolist(), strict=True))
        return [scores[i] for i in range(len(rows))]


def _batches(rows: Sequence[Sequence[int]]) -> list[list[int]]:
    """Indices of rows of like lengths, a bounded number of tokens to a batch."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
    batches: list[list[int]] = []
    for i in order:
        if batches and len(rows[i]) * (len(batches[-1]) + 1) <= TOKENS_AT_ONCE:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
