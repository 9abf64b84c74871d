"""A model made ready to train: its weights, its tokenizer, and the small matrices that LoRA adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from pipeline import bases, bounded, heads, models
from pipeline.engines import EngineError
from pipeline.engines.encoding import Encoder
from pipeline.errors import UserError
from pipeline.training_configs import Training

Head = Literal["language", "reward"]


@dataclass(frozen=True)
class Loaded:
    """What a trainer starts from. `adapter` is what PEFT is to add; None where the model has it already."""

    model: Any
    encoder: Encoder
    files: models.ModelFiles
    adapter: Any

    @property
    def tokenizer(self) -> Any:
        """The model's tokenizer, with a padding token."""
        return self.encoder.tokenizer


def load(config: Training, head: Head) -> Loaded:
    """Load what `config.model` names, to train it as `config.tuning` says.

    An adapter goes on being trained where a language model is trained by LoRA, so that its base stays
    shared and the KL is measured from the adapter as it was; else it is merged into its base first.
    Raises UserError.
    """
    from transformers import AutoTokenizer

    from pipeline.engines.transformers import LOCAL, tokenizer_folder

    files = models.weights(config.model)
    if files.head:
        raise UserError(f"{config.model}: a head, which only scores: start from the model that it stands on")
    try:
        tokenizer = AutoTokenizer.from_pretrained(tokenizer_folder(files), **LOCAL)
        if tokenizer.pad_token is None:
            tokenizer.pad_token = tokenizer.eos_token
        if tokenizer.pad_token is None:
            raise ValueError("its tokenizer has neither a padding nor an end token")
        model = _weights(files, config, head, tokenizer.pad_token_id)
        going_on = False
        if files.adapter:
            model, going_on = _adapted(model, files, config, head)
        if config.tuning == "head":
            _keep_lower_half(model)
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        raise EngineError(f"{config.model} could not be loaded: {error or type(error).__name__}") from error
    return Loaded(model, Encoder(tokenizer, config.model), files, None if going_on else _lora(config, head))


def _weights(files: models.ModelFiles, config: Training, head: Head, pad: int) -> Any:
    import torch
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

    from pipeline.engines.transformers import LOCAL, fast_in_bf16

    fast = fast_in_bf16("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if fast and not fine(config, head, files) else torch.float32
    words: dict[str, Any] = {"dtype": dtype, "use_safetensors": True, **LOCAL}
    if config.tuning == "qlora":
        words["quantization_config"] = _four_bits(dtype)
    if head == "language":
        model, report = AutoModelForCausalLM.from_pretrained(files.folder, output_loading_info=True, **words)
        heads.require_language(model, report["missing_keys"])
        return model
    torch.manual_seed(config.seed)  # the head begins at random
    with heads.unreported():
        model = AutoModelForSequenceClassification.from_pretrained(files.folder, num_labels=1, **words)
    model.config.pad_token_id = pad
    vars(model.config).pop(heads.AVERAGED, None)  # of a head that the model had before
    # The head is trained itself, as weights of full tuning are, whatever the body's precision.
    model.score.float().register_forward_pre_hook(lambda head, given: (given[0].to(head.weight.dtype),))
    return model


def fine(config: Training, head: Head, files: models.ModelFiles) -> bool:
    """Whether the weights that training starts from need fp32, on any machine.

    Those do that are themselves trained, or that an adapter is or was merged into: steps of 1e-5, and much
    of what an adapter adds, vanish in bf16's eight bits.
    """
    merged = head == "reward" and _rewards(files)
    adapted = files.adapter is not None and not _goes_on(config, head)
    return config.tuning in ("full", "head") or merged or adapted


def _rewards(files: models.ModelFiles) -> bool:
    """Whether this is a preference model that was trained here, and so was written in fp32."""
    path = files.own / bases.CARD
    card = bounded.json_of(path) if path.is_file() else None
    return isinstance(card, dict) and card.get("method") == "pm"


def _keep_lower_half(model: Any) -> None:
    """Leave out the upper half of the layers, which turn what is known into the next word.

    What an answer is worth is read from the middle ones as well or better (README, "Measured"), in half the
    time. A model to which that was done before keeps what it has, and so does one that names them otherwise.
    """
    if not getattr(model.config, heads.HALVED, False):
        heads.keep_lower(model, (model.config.num_hidden_layers + 1) // 2)


def _four_bits(dtype: Any) -> Any:
    import importlib.util

    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available() or not importlib.util.find_spec("bitsandbytes"):
        raise EngineError(
            "qlora needs a CUDA GPU and the package bitsandbytes: use lora, or install it there"
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def adapter_shape(files: models.ModelFiles) -> Any:
    """The PEFT config of an adapter, with its base where it lies here."""
    from peft import PeftConfig

    shape = PeftConfig.from_pretrained(files.adapter, local_files_only=True)
    shape.base_model_name_or_path = str(files.folder)  # by any other name PEFT would ask the hub for it
    return shape


def _goes_on(config: Training, head: Head) -> bool:
    """Whether an adapter that training starts from is itself trained further, rather than merged."""
    return head == "language" and config.tuning != "full"


def _adapted(model: Any, files: models.ModelFiles, config: Training, head: Head) -> tuple[Any, bool]:
    """The model with its adapter, and whether that is what goes on being trained."""
    from peft import PeftModel

    going_on = _goes_on(config, head)
    shape = adapter_shape(files)
    if head == "reward":
        shape.task_type = None  # made for a language model, and about to be merged into something else
    model = PeftModel.from_pretrained(
        model, files.adapter, config=shape, is_trainable=going_on, local_files_only=True
    )
    # An adapter freezes its base: merged, all of it may be trained again.
    return (model, True) if going_on else (model.merge_and_unload().requires_grad_(True), False)


def _lora(config: Training, head: Head) -> Any:
    from peft import LoraConfig

    if config.tuning in ("full", "head"):
        return None
    return LoraConfig(
        r=config.rank,
        lora_alpha=2 * config.rank,
        target_modules="all-linear",
        # A reward's head is new, and so trained whole.
        modules_to_save=["score"] if head == "reward" else None,
        exclude_modules=["score"] if head == "reward" else None,
        task_type="CAUSAL_LM" if head == "language" else "SEQ_CLS",
    )
