"""Every tensor of a model, by the modelling code of its family, and the bytes that all of them take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from blackstack.fit.engines import Padding
from blackstack.fit.model import Layer, Model

Role = Literal["embedding", "head", "mixer", "mlp", "router", "expert", "vision"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """Equal matrices of a model.

    Attributes:
        name: of the first one.
        rows, columns: outputs and inputs; a vector has one row.
        count: how many there are: experts.
        role: decides how much of it a token reads.
        bytes: of all of them.
    """

    name: str
    rows: int
    columns: int
    count: int
    role: Role
    bytes: float

    @property
    def elements(self) -> int:
        """Elements of all of them."""
        return self.rows * self.columns * self.count


@dataclass(frozen=True, kw_only=True)
class _Builder:
    model: Model
    padding: Padding | None

    def matrix(self, name: str, rows: int, columns: int, role: Role, *, bias: bool = False) -> Iterator[Tensor]:
        scheme = self.model.quantisation.scheme(name, linear=role not in {"embedding", "router"})
        yield Tensor(name=name, rows=rows, columns=columns, count=1, role=role, bytes=scheme.bytes_of(rows, columns))
        if bias:
            yield self.vector(f"{name}.bias", rows, role)

    def vector(self, name: str, size: int, role: Role) -> Tensor:
        return Tensor(name=name, rows=1, columns=size, count=1, role=role, bytes=size * self.model.plain_bytes)

    def all(self) -> Iterator[Tensor]:
        model = self.model
        yield from self.matrix("model.embed_tokens", model.vocabulary, model.hidden, "embedding")
        for index, layer in enumerate(model.layers):
            prefix = f"model.layers.{index}"
            yield self.vector(f"{prefix}.norms", model.hidden * int(model.family.get("norms", 2)), "mixer")
            yield from self.mixer(f"{prefix}", layer)
            yield from (
                self.experts(f"{prefix}.mlp")
                if layer.experts
                else self.mlp(f"{prefix}.mlp", model.width, "mlp", bias=model.flags["mlp_bias"])
            )
        yield self.vector("model.norm", model.hidden, "head")
        if not model.tied:
            yield from self.matrix("lm_head", model.vocabulary, model.hidden, "head")
        yield from self.vision()

    def mixer(self, prefix: str, layer: Layer) -> Iterator[Tensor]:
        if layer.mixer == "linear":
            yield from self.linear(f"{prefix}.linear_attn")
        elif layer.mixer == "mla":
            yield from self.latent(f"{prefix}.self_attn")
        else:
            yield from self.attention(f"{prefix}.self_attn", layer)

    def attention(self, name: str, layer: Layer) -> Iterator[Tensor]:
        model, flags = self.model, self.model.flags
        queries, keys = model.heads * layer.head_dim, layer.kv_heads * layer.head_dim
        gate = 2 if model.family.get("output_gate") else 1
        yield from self.matrix(f"{name}.q_proj", queries * gate, model.hidden, "mixer", bias=flags["qkv_bias"])
        yield from self.matrix(f"{name}.k_proj", keys, model.hidden, "mixer", bias=flags["qkv_bias"])
        yield from self.matrix(f"{name}.v_proj", keys, model.hidden, "mixer", bias=flags["qkv_bias"])
        yield from self.matrix(f"{name}.o_proj", model.hidden, queries, "mixer", bias=flags["o_bias"])
        if model.family.get("qk_norm") == "projection":
            yield self.vector(f"{name}.qk_norm", queries + keys, "mixer")
        elif model.family.get("qk_norm"):
            yield self.vector(f"{name}.qk_norm", 2 * layer.head_dim, "mixer")
        if flags["sinks"]:
            yield self.vector(f"{name}.sinks", model.heads, "mixer")

    def latent(self, name: str) -> Iterator[Tensor]:
        model = self.model
        sizes = model.latent
        if sizes is None:
            return
        queries = model.heads * (sizes.nope + sizes.rope)
        if sizes.query_rank:
            yield from self.matrix(f"{name}.q_a_proj", sizes.query_rank, model.hidden, "mixer")
            yield from self.matrix(f"{name}.q_b_proj", queries, sizes.query_rank, "mixer")
        else:
            yield from self.matrix(f"{name}.q_proj", queries, model.hidden, "mixer")
        yield from self.matrix(f"{name}.kv_a_proj_with_mqa", sizes.rank + sizes.rope, model.hidden, "mixer")
        yield from self.matrix(f"{name}.kv_b_proj", model.heads * (sizes.nope + sizes.value), sizes.rank, "mixer")
        yield from self.matrix(f"{name}.o_proj", model.hidden, model.heads * sizes.value, "mixer")

    def linear(self, name: str) -> Iterator[Tensor]:
        model = self.model
        sizes = model.linear
        if sizes is None:
            return
        values = sizes.value_heads * sizes.value_dim
        yield from self.matrix(f"{name}.in_proj_qkv", sizes.channels, model.hidden, "mixer")
        yield from self.matrix(f"{name}.in_proj_z", values, model.hidden, "mixer")
        yield from self.matrix(f"{name}.in_proj_ba", 2 * sizes.value_heads, model.hidden, "mixer")
        yield self.vector(f"{name}.conv1d", sizes.channels * sizes.kernel, "mixer")
        yield from self.matrix(f"{name}.out_proj", model.hidden, values, "mixer")

    def mlp(self, name: str, width: int, role: Role, *, bias: bool = False) -> Iterator[Tensor]:
        hidden = self.model.hidden
        yield from self.matrix(f"{name}.gate_proj", width, hidden, role, bias=bias)
        yield from self.matrix(f"{name}.up_proj", width, hidden, role, bias=bias)
        yield from self.matrix(f"{name}.down_proj", hidden, width, role, bias=bias)

    def experts(self, name: str) -> Iterator[Tensor]:
        model, experts = self.model, self.model.experts
        if experts is None:
            return
        yield from self.matrix(f"{name}.router", experts.count, model.hidden, "router", bias=experts.router_bias)
        scheme = model.quantisation.scheme(f"{name}.experts.0.gate_proj", linear=True)
        hidden, width = model.hidden, experts.width
        if scheme.mxfp4 and self.padding:
            hidden, width = _up(hidden, self.padding.hidden), _up(width, self.padding.intermediate)
        for part, rows, columns in (("gate_up_proj", 2 * width, hidden), ("down_proj", hidden, width)):
            each = scheme.bytes_of(rows, columns) + (rows * model.plain_bytes if experts.bias else 0)
            yield Tensor(
                name=f"{name}.experts.{part}",
                rows=rows,
                columns=columns,
                count=experts.count,
                role="expert",
                bytes=each * experts.count,
            )
        if experts.shared_width:
            yield from self.mlp(f"{name}.shared_expert", experts.shared_width, "mlp")
        if experts.shared_gate:
            yield from self.matrix(f"{name}.shared_expert_gate", 1, model.hidden, "router")

    def vision(self) -> Iterator[Tensor]:
        """A vision tower, roughly: its own config says its width and depth, and engines keep it in 16 bits."""
        told = self.model.vision
        hidden, depth = (
            told.get("hidden_size") or told.get("embed_dim"),
            told.get("num_hidden_layers") or told.get("depth"),
        )
        if not hidden or not depth:
            return
        width = int(told.get("intermediate_size") or 4 * int(hidden))
        size = int(depth) * (4 * int(hidden) ** 2 + 2 * int(hidden) * width)
        yield Tensor(name="vision", rows=1, columns=size, count=1, role="vision", bytes=size * self.model.plain_bytes)


@lru_cache(maxsize=256)
def tensors(model: Model, padding: Padding | None = None) -> tuple[Tensor, ...]:
    """Return every tensor; with *padding*, as an engine's kernel lays MXFP4 experts out."""
    return tuple(_Builder(model=model, padding=padding).all())


def checkpoint_bytes(model: Model) -> float:
    """Return the bytes of the files: counted where the folder has them, else by the shapes."""
    return model.checkpoint_bytes or sum(tensor.bytes for tensor in tensors(model))


def loaded_bytes(model: Model, padding: Padding, *, load_gib: float) -> float:
    """Return the bytes that an engine says loading took: padded, with the table of rotary positions."""
    by_shape = sum(tensor.bytes for tensor in tensors(model, padding))
    added = by_shape - sum(tensor.bytes for tensor in tensors(model))
    rotary = model.max_positions * (model.latent.rope if model.latent else model.head_dim) * model.plain_bytes
    exact = model.checkpoint_bytes + added if model.checkpoint_bytes else by_shape
    return exact + rotary + load_gib * (1 << 30)


def read_bytes(model: Model, padding: Padding, *, batch: int) -> float:
    """Return the bytes of weights that one decoding step moves for so many requests at once.

    Of an embedding each request reads one row. Of the experts a step reads those that any of its tokens chose; with
    choices that are even and independent that is ``count x (1 - (1 - active/count) ** batch)``.
    """
    total = 0.0
    chosen = 1.0
    if model.experts:
        chosen = 1 - (1 - model.experts.active / model.experts.count) ** batch
    for tensor in tensors(model, padding):
        if tensor.role == "embedding":
            # A tied embedding is the head too, and that reads all of it.
            total += tensor.bytes if model.tied else batch * tensor.columns * model.plain_bytes
        elif tensor.role == "expert":
            total += tensor.bytes * chosen
        elif tensor.role != "vision":
            total += tensor.bytes
    return total


def flops_a_token(model: Model) -> float:
    """Return the multiplications and additions of one token's matrices, the head included; attention is not."""
    active = model.experts.active / model.experts.count if model.experts else 1.0
    weighed = 0.0
    for tensor in tensors(model):
        if tensor.role == "vision" or (tensor.role == "embedding" and not model.tied):
            continue
        weighed += tensor.elements * (active if tensor.role == "expert" else 1.0)
    return 2 * weighed


def _up(size: int, step: int) -> int:
    return -(-size // step) * step
