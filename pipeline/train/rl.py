"""RL-CAI: the policy against a preference model (paper section 4.1), with TRL's RLOO or GRPO.

The KL penalty is to the policy as it began: an adapter that goes on being trained is copied and frozen, a
new one is switched off. Headless: `cai rl`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, set_seed

from pipeline import models, templates
from pipeline.engines import EngineError, Sampling
from pipeline.engines.encoding import room
from pipeline.engines.wanting import SHARE, VLLM, quieten, wants_vllm
from pipeline.events import EventLog
from pipeline.growing import EXCERPT, say
from pipeline.records import Message, Prompt
from pipeline.refusals import refuses
from pipeline.rundir import RunDir
from pipeline.seeds import hashed
from pipeline.train import frame
from pipeline.train.loading import Loaded, load
from pipeline.train.samples import Samples
from pipeline.train.saving import Origin, save_policy
from pipeline.train.speaking import Speaker
from pipeline.training_configs import Reinforcing

Score = Callable[[Sequence[tuple[Sequence[Message], str]]], list[float]]
"""What rewards answers: a preference model's `score`."""

SNAPSHOTS = "snapshots"


def train(
    folder: RunDir,
    config: Reinforcing,
    prompts: Sequence[Prompt],
    reward: Score,
    judge: Score | None,
    lineage: Mapping[str, Any],
) -> int:
    """Train the policy to be scored well. `judge` watches, and rewards nothing. See `frame.train`."""
    loaded: list[Loaded] = []

    def make(words: Mapping[str, Any], callbacks: list[Any]) -> Any:
        start = load(config, "language")
        loaded.append(start)
        fitting = _fitting(start, prompts, config)
        frame.enough(len(fitting), "prompts", config.least)
        [telling] = callbacks
        watch = Watch(telling.log, reward, judge)
        snapshots = Snapshots(folder.folder / SNAPSHOTS, config, start, lineage)
        samples = Samples(telling.log, start.encoder, config.sample_every)
        return _trainer(config, start, fitting, watch, words, [telling, snapshots, samples])

    def save(trainer: Any, to: Path) -> Mapping[str, Any]:
        rewards = [row["reward"] for row in trainer.state.log_history if "reward" in row]
        figures = frame.ends(rewards, "reward")
        origin = Origin(config.algorithm, trainer.state.global_step, lineage, figures)
        save_policy(trainer.model, loaded[0], to, origin)
        return figures

    return frame.train(folder, "rl", config, make, save)


def _fitting(start: Loaded, prompts: Sequence[Prompt], config: Reinforcing) -> list[Prompt]:
    """The prompts that leave an answer its room; says how many others there are. TRL has no limit."""
    longest = min(config.max_length, room(start.model.config)) - config.max_tokens
    form, encoder = start.encoder.form, start.encoder
    fitting = [p for p in prompts if len(encoder.encode(templates.response(form, p.messages))) <= longest]
    if out := len(prompts) - len(fitting):
        say(f"{out} prompts are left out: with an answer they are longer than {longest + config.max_tokens}")
    return fitting


def _trainer(
    config: Reinforcing,
    start: Loaded,
    prompts: Sequence[Prompt],
    watch: Watch,
    words: Mapping[str, Any],
    callbacks: list[Any],
) -> Any:
    import torch
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

    rloo = config.algorithm == "rloo"
    base: Any = RLOOTrainer if rloo else GRPOTrainer
    kind: Any = RLOOConfig if rloo else GRPOConfig

    speaker, by_vllm = Speaker(), _by_vllm(config)

    class Encoded(base):
        def _tokenize_prompts(self, asked: list[Any]) -> Any:
            # Our own encoder: no text of a prompt can forge a turn, and a base model is asked in plain form.
            ids = [
                start.encoder.encode(templates.response(start.encoder.form, _messages(turns)))
                for turns in asked
            ]
            return ids, None, {}

        def _generate_single_turn(self, ids: list[list[int]], *more: Any) -> Any:
            first = self.accelerator.process_index * len(ids)
            seeds = [answer_seed(config.seed, self.state.global_step, first + i) for i in range(len(ids))]
            samplings = [Sampling(config.max_tokens, config.temperature, seed=seed) for seed in seeds]
            model = self.accelerator.unwrap_model(self.model)
            said = None if by_vllm else speaker.answers(model, start.tokenizer, ids, samplings)
            if said is None:
                # What is drawn comes of seed and step here too: followers' random states are not kept.
                torch.manual_seed(seeds[0])
                return super()._generate_single_turn(ids, *more)
            return said if rloo else (said, None)

    rows = [{"prompt": [{"role": m.role, "content": m.content} for m in p.messages]} for p in prompts]
    return _made(
        frame.resumable(Encoded),
        bool(by_vllm),
        model=start.model,
        reward_funcs=watch.reward,
        args=kind(
            **words,
            num_generations=config.answers,
            max_completion_length=config.max_tokens,
            temperature=config.temperature,
            beta=config.beta,
            **by_vllm,
        ),
        train_dataset=Dataset.from_list(rows),
        processing_class=start.tokenizer,
        peft_config=start.adapter,
        callbacks=callbacks,
    )


def _by_vllm(config: Reinforcing) -> dict[str, Any]:
    """Have TRL's vLLM write the answers in this process, of the weights as they are at each step."""
    if not wants_vllm() or models.weights(config.model).torch:
        return {}
    quieten()
    say(f"vLLM writes the answers; {VLLM}=0 leaves it out")
    return {
        "use_vllm": True,
        "vllm_mode": "colocate",
        "vllm_gpu_memory_utilization": SHARE,
        "vllm_max_model_length": -1,  # as long as its share of the memory holds
    }


def _made(trainer: Callable[..., Any], by_vllm: bool, **words: Any) -> Any:
    """The trainer. Raises EngineError where vLLM can't write for it."""
    if not by_vllm:
        return trainer(**words)
    try:
        made = trainer(**words)
    except Exception as error:  # whichever way vLLM says it: an architecture, memory, a missing compiler
        raise EngineError(f"vLLM can't write the answers: {error}. {VLLM}=0 leaves it out") from error
    # vLLM has put the random streams at a seed of its own.
    set_seed(words["args"].seed)
    return made


class Watch:
    """The reward, and what shows whether it is being earned honestly.

    Logged with each step: the judge's mean score, the share of refusals, and how much of an answer repeats.
    """

    def __init__(self, log: EventLog, reward: Score, judge: Score | None) -> None:
        self.log, self._reward, self._judge = log, reward, judge

    def reward(self, prompts: list[Any], completions: list[Any], **more: Any) -> list[float]:
        """A reward for each completion, as TRL asks for it."""
        asked = [_messages(turns) for turns in prompts]
        texts = [turns[0]["content"] for turns in completions]
        said = list(zip(asked, texts, strict=True))
        rewards = self._reward(said)
        tell = more["log_metric"]
        if self._judge:
            tell("judge", _mean(self._judge(said)))
        tell("refusals", _mean([float(refuses(text)) for text in texts]))
        tell("repeated", _mean([repeated(text) for text in texts]))
        self.log.emit(
            "sample",
            step=more["trainer_state"].global_step,
            prompt=asked[0][-1].content[:EXCERPT],
            text=texts[0][:EXCERPT],
            reward=rewards[0],
        )
        return rewards


class Snapshots(TrainerCallback):
    """The policy every so many steps, as a checkpoint of its own: what the Elo trajectory is drawn from."""

    def __init__(self, folder: Path, config: Reinforcing, start: Loaded, lineage: Mapping[str, Any]) -> None:
        self.folder, self.config, self.start, self.lineage = folder, config, start, lineage

    def on_step_end(self, args: Any, state: Any, control: Any, model: Any = None, **kwargs: Any) -> None:
        if state.global_step % self.config.snapshot_every == 0:
            with frame.whole_folder(self.folder / f"step-{state.global_step}") as to:
                save_policy(
                    model, self.start, to, Origin(self.config.algorithm, state.global_step, self.lineage)
                )


def answer_seed(run_seed: int, step: int, place: int) -> int:
    """The seed of one answer: a hash of the run's, the step and its place among the step's, in 63 bits."""
    return hashed(f"{run_seed}:{step}:{place}")


def repeated(text: str) -> float:
    """The share of a text's words that stand in a run of four said before in it; 0 for no repetition."""
    words = text.split()
    fours = [tuple(words[i : i + 4]) for i in range(len(words) - 3)]
    return 1 - len(set(fours)) / len(fours) if fours else 0.0


def _mean(values: Sequence[float]) -> float:
    return sum(values) / max(1, len(values))


def _messages(turns: Sequence[Mapping[str, str]]) -> tuple[Message, ...]:
    return tuple(Message(turn["role"], turn["content"]) for turn in turns)  # type: ignore[arg-type]
