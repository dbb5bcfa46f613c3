"""A model's `config.json` as shapes: which layers it has, and what each keeps for a token."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from blackstack.errors import UsageError, nearest
from blackstack.fit.quant import Quantisation
from blackstack.fit.quant import read as read_quantisation
from blackstack.fit.tables import table

Mixer = Literal["attention", "mla", "linear"]
_SEE = "blackstack/fit/data/architectures.yaml lists what is known"


@dataclass(frozen=True, kw_only=True)
class Layer:
    """What one layer keeps between tokens.

    Attributes:
        mixer: attention, latent attention (MLA), or a linear one whose state does not grow.
        kv_heads, head_dim: of the keys; ``value_dim`` of the values. MLA: one head of the latent's size, no values.
        window: tokens that the layer looks back; None: all.
        experts: 0 for an ordinary MLP.
    """

    mixer: Mixer
    kv_heads: int
    head_dim: int
    value_dim: int
    window: int | None
    experts: int


@dataclass(frozen=True, kw_only=True)
class Experts:
    """The mixture of experts of a layer that has one.

    Attributes:
        count, active: how many there are, and how many work on a token.
        width: of each; ``shared_width`` of those that always work, together.
    """

    count: int
    active: int
    width: int
    shared_width: int = 0
    shared_gate: bool = False
    bias: bool = False
    router_bias: bool = False


@dataclass(frozen=True, kw_only=True)
class Linear:
    """A gated delta network: a convolution's last inputs and a state of heads, both of fixed size."""

    key_heads: int
    value_heads: int
    key_dim: int
    value_dim: int
    kernel: int
    state_bytes: int

    @property
    def channels(self) -> int:
        """Channels of the convolution: queries, keys and values."""
        return 2 * self.key_heads * self.key_dim + self.value_heads * self.value_dim

    def bytes_a_request(self, plain_bytes: int) -> int:
        """Return the bytes of one request in one layer."""
        state = self.value_heads * self.value_dim * self.key_dim * self.state_bytes
        return self.channels * (self.kernel - 1) * plain_bytes + state


@dataclass(frozen=True, kw_only=True)
class Latent:
    """The sizes of multi-head latent attention (DeepSeek)."""

    rank: int
    rope: int
    nope: int
    value: int
    query_rank: int | None


@dataclass(frozen=True, kw_only=True, eq=False)  # told apart by identity, so that its tensors are built once
class Model:
    """The shapes of a model, in elements; nothing of an engine or a card is in it.

    Attributes:
        name: what it was asked for by.
        layers: from the first to the last.
        family: what the architecture has that its config does not say (`data/architectures.yaml`).
        checkpoint_bytes: of the weights' files, where the folder has them.
        notes: what was assumed because the config does not say it.
    """

    name: str
    architecture: str
    hidden: int
    vocabulary: int
    heads: int
    head_dim: int
    width: int
    tied: bool
    max_positions: int
    plain_bytes: int
    layers: tuple[Layer, ...]
    quantisation: Quantisation
    family: Mapping[str, Any]
    flags: Mapping[str, bool]
    experts: Experts | None = None
    linear: Linear | None = None
    latent: Latent | None = None
    vision: Mapping[str, Any] = field(default_factory=dict)
    checkpoint_bytes: int | None = None
    notes: tuple[str, ...] = ()

    @property
    def kv_elements(self) -> tuple[int, ...]:
        """Elements that each layer keeps for a token; 0 where its state does not grow."""
        return tuple(
            0 if layer.mixer == "linear" else layer.kv_heads * (layer.head_dim + layer.value_dim)
            for layer in self.layers
        )


def read(
    config: Mapping[str, Any], name: str, *, assume: str | None = None, checkpoint_bytes: int | None = None
) -> Model:
    """Read a config.

    Args:
        config: the parsed ``config.json``.
        name: for people.
        assume: an architecture to take it for.
        checkpoint_bytes: of the weights' files.

    Raises:
        UsageError: an architecture that is not known, a key that is missing, or a value that cannot be meant.
    """
    architecture = assume or _architecture(config, name)
    family = _family(architecture, name)
    reader = _Reader(config=config, text=_text(config, family), name=name)
    return reader.model(architecture, family, checkpoint_bytes)


def _text(config: Mapping[str, Any], family: Mapping[str, Any]) -> Mapping[str, Any]:
    inner = config.get(str(family.get("text", "")))
    return {**config, **inner} if isinstance(inner, Mapping) else config


def _architecture(config: Mapping[str, Any], name: str) -> str:
    told = config.get("architectures")
    if isinstance(told, list) and told and isinstance(told[0], str):
        return told[0]
    raise UsageError(f"{name}: its config.json names no architecture", why="`architectures` is missing", fix=_SEE)


def _family(architecture: str, name: str) -> Mapping[str, Any]:
    known: Mapping[str, Mapping[str, Any]] = table("architectures.yaml")
    if architecture not in known:
        near = nearest(architecture, known)
        raise UsageError(
            f"{name}: the architecture {architecture} is not known here, and its tensors would be guesses",
            fix=[*([f"if it has the tensors of {near}: --assume {near}"] if near else []), _SEE],
        )
    family = known[architecture]
    return {**_family(str(family["like"]), name), **family} if "like" in family else family


@dataclass(frozen=True, kw_only=True)
class _Reader:
    config: Mapping[str, Any]
    text: Mapping[str, Any]
    name: str

    def model(self, architecture: str, family: Mapping[str, Any], checkpoint_bytes: int | None) -> Model:
        hidden, heads, count = (
            self.number("hidden_size"),
            self.number("num_attention_heads"),
            self.number("num_hidden_layers"),
        )
        head_dim = self.number("head_dim", hidden // heads)
        experts = self.experts(family)
        latent = self.latent() if family.get("attention") == "mla" else None
        linear = self.linear(family) if family.get("attention") == "linear" else None
        notes: list[str] = []
        dtype = str(self.text.get("torch_dtype") or self.text.get("dtype") or self.config.get("torch_dtype") or "")
        if not dtype:
            dtype = "bfloat16"
            notes.append("config.json names no torch_dtype: taken for bfloat16")
        if dtype == "float32":
            dtype = "bfloat16"
            notes.append("float32 in the config: engines serve it in 16 bits")
        quantised = read_quantisation({**self.config, **self.quantised_text()}, dtype)
        tied = self.text.get("tie_word_embeddings", self.config.get("tie_word_embeddings", family.get("tied", False)))
        return Model(
            name=self.name,
            architecture=architecture,
            hidden=hidden,
            vocabulary=self.number("vocab_size"),
            heads=heads,
            head_dim=head_dim,
            width=self.number("intermediate_size", 0 if experts else None),
            tied=bool(tied),
            max_positions=self.number("max_position_embeddings"),
            plain_bytes=int(quantised.plain.element_bits // 8),
            layers=tuple(
                self.layers(
                    count, family, experts=experts, latent=latent, linear=linear, heads=heads, head_dim=head_dim
                )
            ),
            quantisation=quantised,
            family=family,
            flags={key: self.flag(family.get(key, False)) for key in ("qkv_bias", "o_bias", "mlp_bias", "sinks")},
            experts=experts,
            linear=linear,
            latent=latent,
            vision=self.config.get("vision_config") or {},
            checkpoint_bytes=checkpoint_bytes,
            notes=(*notes, *quantised.notes),
        )

    def number(self, key: str, default: int | None = None) -> int:
        """Return a whole number of the config."""
        value = self.text.get(key)
        if value is None:
            if default is None:
                raise UsageError(
                    f"{self.name}: its config.json has no {key}",
                    why="without it the shapes of the weights are not known",
                    fix="take the config.json from the model's own repository",
                )
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value) or value < 0:
            raise UsageError(f"{self.name}: {key} of its config.json is {value!r}, which is no count")
        if key in _ABOVE_ZERO and value < 1:
            raise UsageError(f"{self.name}: {key} of its config.json is {value!r}, which is no count")
        return int(value)

    def flag(self, told: object) -> bool:
        """Return a flag that a family states, or whose key it names."""
        return bool(self.text.get(told, False)) if isinstance(told, str) else bool(told)

    def quantised_text(self) -> Mapping[str, Any]:
        inner = self.text.get("quantization_config")
        return {"quantization_config": inner} if inner else {}

    def experts(self, family: Mapping[str, Any]) -> Experts | None:
        keys = family.get("moe")
        if not keys:
            return None
        width = self.number(keys["width"])
        shared = self.number(keys["shared_width"], 0) if "shared_width" in keys else 0
        shared += self.number(keys["shared"], 0) * width if "shared" in keys else 0
        active = self.number(keys["active"], 0) or self.number("experts_per_token")
        count = self.number(keys["experts"])
        if active > count:
            raise UsageError(f"{self.name}: its config.json has {active} experts at work of {count}")
        return Experts(
            count=count,
            active=active,
            width=width,
            shared_width=shared,
            shared_gate=bool(keys.get("shared_gate")),
            bias=bool(keys.get("expert_bias")),
            router_bias=bool(keys.get("router_bias")),
        )

    def latent(self) -> Latent:
        return Latent(
            rank=self.number("kv_lora_rank"),
            rope=self.number("qk_rope_head_dim"),
            nope=self.number("qk_nope_head_dim"),
            value=self.number("v_head_dim"),
            query_rank=self.number("q_lora_rank", 0) or None,
        )

    def linear(self, family: Mapping[str, Any]) -> Linear:
        return Linear(
            key_heads=self.number("linear_num_key_heads"),
            value_heads=self.number("linear_num_value_heads"),
            key_dim=self.number("linear_key_head_dim"),
            value_dim=self.number("linear_value_head_dim"),
            kernel=self.number("linear_conv_kernel_dim"),
            state_bytes=4 if self.text.get("mamba_ssm_dtype") == "float32" else int(family["state_bytes"]),
        )

    def layers(
        self,
        count: int,
        family: Mapping[str, Any],
        *,
        experts: Experts | None,
        latent: Latent | None,
        linear: Linear | None,
        heads: int,
        head_dim: int,
    ) -> list[Layer]:
        kv_heads = self.number("num_key_value_heads", heads)
        windows = self.windows(count, family)
        kinds = self.mixers(count, latent, linear)
        dense = self.number(family["moe"]["first_dense"], 0) if experts and "first_dense" in family["moe"] else 0
        step = self.number("decoder_sparse_step", 1) or 1
        only_dense = set(self.text.get("mlp_only_layers") or ())
        made = []
        for index, (kind, window) in enumerate(zip(kinds, windows, strict=True)):
            mixes = experts and index >= dense and (index + 1) % step == 0 and index not in only_dense
            key, value, of_keys = head_dim, head_dim, kv_heads
            if latent:
                key, value, of_keys = latent.rank + latent.rope, 0, 1
            made.append(
                Layer(
                    mixer=kind,
                    kv_heads=of_keys,
                    head_dim=key,
                    value_dim=value,
                    window=window if kind == "attention" else None,
                    experts=experts.count if experts and mixes else 0,
                )
            )
        return made

    def mixers(self, count: int, latent: Latent | None, linear: Linear | None) -> list[Mixer]:
        if latent:
            return ["mla"] * count
        if not linear:
            return ["attention"] * count
        told = self.text.get("layer_types")
        if isinstance(told, list) and len(told) == count:
            return ["linear" if kind == "linear_attention" else "attention" for kind in told]
        every = self.number("full_attention_interval", 4)
        return ["attention" if (index + 1) % every == 0 else "linear" for index in range(count)]

    def windows(self, count: int, family: Mapping[str, Any]) -> list[int | None]:
        """Return each layer's window."""
        told, rule = self.text.get("layer_types"), family.get("window", "none")
        window = self.text.get("sliding_window")
        if not isinstance(window, int) or window < 1 or self.text.get("use_sliding_window") is False:
            return [None] * count
        if isinstance(told, list) and rule != "none":
            if len(told) != count:
                raise UsageError(f"{self.name}: its config.json has {len(told)} layer_types for {count} layers")
            return [window if kind == "sliding_attention" else None for kind in told]
        if rule == "all":
            return [window] * count
        if rule == "even":
            return [window if index % 2 == 0 else None for index in range(count)]
        if rule == "pattern":
            every = self.number("sliding_window_pattern", 6)
            return [None if (index + 1) % every == 0 else window for index in range(count)]
        return [None] * count


_ABOVE_ZERO = {
    "hidden_size",
    "num_attention_heads",
    "num_hidden_layers",
    "num_key_value_heads",
    "vocab_size",
    "max_position_embeddings",
    "head_dim",
    "sliding_window_pattern",
    "full_attention_interval",
}
