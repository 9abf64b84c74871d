"""A trained preference model: scores of answers, for RL, as a judge, and beside a chat (section 4.1)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pipeline import heads, models
from pipeline.engines import EngineError
from pipeline.engines.encoding import Encoder, room
from pipeline.records import Message
from pipeline.train.examples import Row, answered

TOKENS_AT_ONCE = 16384


class PreferenceModel:
    """One preference model in this process. `score` is the log-odds scale: differences mean something."""

    def __init__(self, name: str, *, files: models.ModelFiles | None = None, judges: bool = False) -> None:
        """Load it, in fp32. `files` is what the name means, where that is known already.

        With `judges` it may be a feedback model's head, which is to be asked after a principle. Raises
        UserError where the name has no model or it is no preference model.
        """
        import torch
        from transformers import AutoModelForSequenceClassification, AutoTokenizer
        from transformers.utils.logging import disable_progress_bar

        from pipeline.engines.transformers import LOCAL

        disable_progress_bar()
        self.files = files or models.weights(name)
        if self.files.head and not judges:
            raise EngineError(
                f"{name}: reads a principle before an answer, and so labels pairs and is no preference "
                "model: train one with `cai pm`, without --under"
            )
        require_whole(name, self.files)
        device = "cuda" if torch.cuda.is_available() else "cpu"
        try:
            with heads.unreported():
                model, report = AutoModelForSequenceClassification.from_pretrained(
                    self.files.folder,
                    dtype=torch.float32,
                    use_safetensors=True,
                    output_loading_info=True,
                    **({"num_labels": 1} if self.files.head else {}),
                    **LOCAL,
                )
            tokenizer = AutoTokenizer.from_pretrained(self.files.folder, **LOCAL)
            if self.files.head:
                heads.put_on(model, self.files.head)
        except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
            raise EngineError(f"{name} could not be loaded: {error}") from error
        if not self.files.head and (report["missing_keys"] or model.config.num_labels != 1):
            raise EngineError(f"{name}: is no preference model: train one with `cai pm`")
        if model.config.pad_token_id is None:
            model.config.pad_token_id = tokenizer.pad_token_id or tokenizer.eos_token_id or 0
        self.name = name
        self.model: Any = model.to(device).eval()
        self.encoder = Encoder(tokenizer, name)
        self.limit = room(model.config)

    def score(self, conversations: Sequence[tuple[Sequence[Message], str]]) -> list[float]:
        """The score of each (messages, answer). What is too long for the model loses its beginning."""
        return self.of([self._fitted(*answered(self.encoder, *one)) for one in conversations])

    def of(self, rows: Sequence[Row]) -> list[float]:
        """The score of each row of tokens, which the model must hold."""
        import torch

        scores: dict[int, float] = {}
        for some in _batches(rows):
            batch = [rows[i] for i in some]
            with torch.inference_mode():
                if getattr(self.model.config, heads.AVERAGED, False):
                    logits = self.model.score(averaged(self.model, batch))
                else:
                    logits = self.model(**_padded(self.model, batch)).logits
            scores.update(zip(some, logits[:, 0].float().tolist(), strict=True))
        return [scores[i] for i in range(len(rows))]

    def _fitted(self, ids: list[int], start: int) -> Row:
        over = max(0, len(ids) - self.limit)
        return ids[over:], max(0, start - over)


def require_whole(name: str, files: models.ModelFiles) -> None:
    """Raise UserError for an adapter: its base's scores would go by its name."""
    if files.adapter:
        raise EngineError(
            f"{name}: an adapter, and a preference model must be whole: merge it into its base first (PEFT's "
            "merge_and_unload) and name what that makes, or train one with `cai pm`"
        )


def averaged(model: Any, rows: Sequence[Row]) -> Any:
    """The mean of the model's last states over each answer and its end: shape (rows, width)."""
    import torch

    words = _padded(model, rows)
    with torch.inference_mode():
        states = model.base_model(**words).last_hidden_state
    places = torch.arange(states.shape[1], device=states.device)
    starts = torch.tensor([start for _, start in rows], device=states.device)
    of_answer = words["attention_mask"] * (places >= starts[:, None])
    return (states * of_answer[..., None]).sum(1) / of_answer.sum(1, keepdim=True)


def _padded(model: Any, rows: Sequence[Row]) -> dict[str, Any]:
    import torch

    longest, pad = max(len(ids) for ids, _ in rows), model.config.pad_token_id
    words = {
        "input_ids": [ids + [pad] * (longest - len(ids)) for ids, _ in rows],
        "attention_mask": [[1] * len(ids) + [0] * (longest - len(ids)) for ids, _ in rows],
    }
    tensors = {name: torch.tensor(value, device=model.device) for name, value in words.items()}
    return {**tensors, "use_cache": False}  # nothing is written after it


def _batches(rows: Sequence[Row]) -> list[list[int]]:
    """Indices of rows of like lengths, a bounded number of tokens to a batch."""
    order = sorted(range(len(rows)), key=lambda i: len(rows[i][0]))
    batches: list[list[int]] = []
    for i in order:
        if batches and len(rows[i][0]) * (len(batches[-1]) + 1) <= TOKENS_AT_ONCE:
            batches[-1].append(i)
        else:
            batches.append([i])
    return batches
