"""A Llama checkpoint as an OpenVINO graph with paged attention: on a processor about twice as fast as torch.

Written directly, from the weights that are loaded: no tracing, no files, and adapters are merged. Others
than Llama's kind run on torch alone.
"""

from __future__ import annotations

import copy
import sys
import warnings
from functools import cache
from typing import Any

import numpy as np
import psutil
import torch
from numpy.typing import NDArray

# The package reports over the network that it was imported; without this part of it, it doesn't.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]

import openvino as ov  # noqa: E402
from openvino import opset15 as op  # noqa: E402
from openvino._offline_transformations import paged_attention_transformation  # noqa: E402
from openvino.op.util import Variable, VariableInfo  # noqa: E402

__all__ = ["compiled", "core", "fits", "ov"]  # it comes from here alone: so it can't report first

KEPT = 3
"""Times the weights in fp32 that must be free: they are kept once more, and twice while it is compiled; once
more where an adapter is merged."""


def fits(model: Any) -> bool:
    """Whether there is a graph for this model, and memory for it."""
    config = model.config
    rope = getattr(config, "rope_parameters", None) or {}
    return (
        model.device.type == "cpu"
        and config.model_type == "llama"
        and config.hidden_act == "silu"
        and rope.get("rope_type") in ("default", "linear", "llama3", "yarn")
        and psutil.virtual_memory().available > _kept(model) * 4 * sum(p.numel() for p in model.parameters())
    )


def _kept(model: Any) -> int:
    return KEPT + hasattr(model, "merge_and_unload")


@cache
def core() -> ov.Core:
    """OpenVINO itself, once for the life of the process.

    Each makes a stack for signal handlers and puts back, when it goes, the one before: of two, the second
    would put back that of the first, which is no longer there, and the next signal would be the end.
    """
    return ov.Core()


def compiled(model: Any, exact: bool = False) -> ov.CompiledModel:
    """The graph of a model, ready to run; its inputs are those of OpenVINO's paged attention.

    One more, `sampled_tokens_indices`, are the places of the tokens whose logits come out. `exact`: computed
    in fp32, whatever the weights are kept in.
    """
    able = core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    narrow = model.dtype == torch.bfloat16 and "BF16" in able and not exact
    if hasattr(model, "merge_and_unload"):  # a copy: training goes on; bf16 would round it
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "All adapters are already merged")  # a word of its own is
            model = copy.deepcopy(model).float().merge_and_unload()
    graph = _Llama(model).graph()
    paged_attention_transformation(graph)
    _only_wanted_logits(graph)
    precision = "bf16" if narrow else "f32"
    how = {
        "INFERENCE_PRECISION_HINT": precision,
        "KV_CACHE_PRECISION": precision,  # in u8, six texts of twenty were others
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
        "PERFORMANCE_HINT": "LATENCY",
    }
    return core().compile_model(graph, "CPU", how)


class _Llama:
    """With keys that the graph keeps: in this form OpenVINO finds what is to be paged attention."""

    def __init__(self, model: Any) -> None:
        self.config = model.config
        self.weights = model.state_dict()
        self.heads, self.kept_heads = self.config.num_attention_heads, self.config.num_key_value_heads
        self.size = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.heads
        rotary = model.model.rotary_emb
        self.frequencies, self.scaling = rotary.inv_freq.float().numpy(), float(rotary.attention_scaling)
        self.sinks: list[Any] = []

    def graph(self) -> ov.Model:
        ids = _input("input_ids", [-1, -1], np.int64)
        mask = _input("attention_mask", [-1, -1], np.int64)
        positions = _input("position_ids", [-1, -1], np.int64)
        self.beams = _input("beam_idx", [-1], np.int32)
        self.batch = op.gather(op.shape_of(ids, "i64"), _ints([0]), _ints(0))
        self.cos, self.sin = self._turns(positions)
        self.sees = self._causal(ids, mask)
        x = op.gather(self._weight("model.embed_tokens"), ids, _ints(0))
        for i in range(self.config.num_hidden_layers):
            layer = f"model.layers.{i}"
            x = op.add(x, self._attention(self._norm(x, f"{layer}.input_layernorm"), f"{layer}.self_attn", i))
            x = op.add(x, self._mlp(self._norm(x, f"{layer}.post_attention_layernorm"), f"{layer}.mlp"))
        head = "model.embed_tokens" if self.config.tie_word_embeddings else "lm_head"
        logits = self._linear(self._norm(x, "model.norm"), head)
        logits.output(0).set_names({"logits"})
        return ov.Model([op.result(logits)], self.sinks, [ids, mask, positions, self.beams], "llama")

    def _weight(self, module: str, name: str = "weight") -> Any:
        value = self.weights[f"{module}.{name}"].float().contiguous().numpy()
        return op.constant(value, shared_memory=True)  # the engine keeps the model as well

    def _linear(self, x: Any, module: str) -> Any:
        made = op.matmul(x, self._weight(module), False, True)
        return op.add(made, self._weight(module, "bias")) if f"{module}.bias" in self.weights else made

    def _norm(self, x: Any, module: str) -> Any:
        mean = op.reduce_mean(op.power(x, _float(2)), _ints([-1]), keep_dims=True)
        root = op.sqrt(op.add(mean, _float(self.config.rms_norm_eps)))
        return op.multiply(op.multiply(x, op.divide(_float(1), root)), self._weight(module))

    def _mlp(self, x: Any, module: str) -> Any:
        gate = op.swish(self._linear(x, f"{module}.gate_proj"))
        return self._linear(op.multiply(gate, self._linear(x, f"{module}.up_proj")), f"{module}.down_proj")

    def _attention(self, x: Any, module: str, i: int) -> Any:
        queries = self._turned(self._split(self._linear(x, f"{module}.q_proj"), self.heads))
        keys = self._turned(self._split(self._linear(x, f"{module}.k_proj"), self.kept_heads))
        values = self._split(self._linear(x, f"{module}.v_proj"), self.kept_heads)
        keys, values = self._kept(keys, f"{i}.key"), self._kept(values, f"{i}.value")
        seen = op.scaled_dot_product_attention(queries, keys, values, self.sees, causal=False)
        side_by_side = _ints([0, 0, self.heads * self.size])
        joined = op.reshape(op.transpose(seen, _ints([0, 2, 1, 3])), side_by_side, True)
        return self._linear(joined, f"{module}.o_proj")

    def _split(self, x: Any, heads: int) -> Any:
        split = op.reshape(x, _ints([0, 0, heads, self.size]), True)
        return op.transpose(split, _ints([0, 2, 1, 3]))

    def _turns(self, positions: Any) -> tuple[Any, Any]:
        places = op.convert(op.unsqueeze(positions, _ints(-1)), "f32")
        angles = op.multiply(places, op.constant(self.frequencies))
        both, scaling = op.concat([angles, angles], -1), _float(self.scaling)
        cos, sin = (op.multiply(turn(both), scaling) for turn in (op.cos, op.sin))
        return op.unsqueeze(cos, _ints(1)), op.unsqueeze(sin, _ints(1))

    def _turned(self, x: Any) -> Any:
        half = self.size // 2
        low = op.slice(x, _ints([0]), _ints([half]), _ints([1]), _ints([3]))
        high = op.slice(x, _ints([half]), _ints([2**63 - 1]), _ints([1]), _ints([3]))
        swapped = op.concat([op.multiply(high, _float(-1)), low], -1)
        return op.add(op.multiply(x, self.cos), op.multiply(swapped, self.sin))

    def _causal(self, ids: Any, mask: Any) -> Any:
        # Paged attention has its own; without this one, the transformation does not find its pattern.
        total = op.gather(op.shape_of(mask, "i64"), _ints(1), _ints(0))
        new = op.gather(op.shape_of(ids, "i64"), _ints(1), _ints(0))
        keys = op.range(_ints(0), total, _ints(1), "i64")
        queries = op.unsqueeze(op.range(op.subtract(total, new), total, _ints(1), "i64"), _ints(1))
        before = op.unsqueeze(op.less_equal(keys, queries), _ints([0, 1]))
        return op.logical_and(before, op.unsqueeze(op.not_equal(mask, _ints(0)), _ints([1, 2])))

    def _kept(self, x: Any, name: str) -> Any:
        info = VariableInfo()
        info.data_shape = ov.PartialShape([-1, self.kept_heads, -1, self.size])
        info.data_type = ov.Type.f32
        info.variable_id = name
        variable = Variable(info)
        nothing = op.concat([self.batch, _ints([self.kept_heads]), _ints([0]), _ints([self.size])], 0)
        past = op.read_value(op.broadcast(_float(0), nothing), variable)
        every = op.concat([op.gather(past, self.beams, _ints(0)), x], 2)
        self.sinks.append(op.assign(every, variable))
        if self.kept_heads == self.heads:
            return every
        batch, length = (op.gather(op.shape_of(every, "i64"), _ints([axis]), _ints(0)) for axis in (0, 2))
        group = _ints([self.heads // self.kept_heads])
        shape = op.concat([batch, _ints([self.kept_heads]), group, length, _ints([self.size])], 0)
        wide = op.broadcast(op.unsqueeze(every, _ints(2)), shape, "BIDIRECTIONAL")
        return op.reshape(wide, _ints([0, self.heads, -1, self.size]), True)


def _only_wanted_logits(graph: ov.Model) -> None:
    last = graph.get_results()[0].input_value(0).get_node()
    wanted = _input("sampled_tokens_indices", [-1], np.int64)
    some = op.gather(last.input_value(0), wanted, _ints(0))
    last.input(0).replace_source_output(some.output(0))
    graph.add_parameters([wanted])
    graph.validate_nodes_and_infer_types()


def _input(name: str, shape: list[int], dtype: type) -> Any:
    made = op.parameter(shape, dtype, name=name)
    made.output(0).set_names({name})
    return made


def _ints(value: Any) -> Any:
    return op.constant(np.array(value, np.int64))


def _float(value: float) -> Any:
    numbers: NDArray[np.float32] = np.array(value, np.float32)
    return op.constant(numbers)
