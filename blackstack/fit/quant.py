"""How many bytes a matrix takes under a checkpoint's `quantization_config`, and which matrices it leaves alone."""

from __future__ import annotations

import fnmatch
import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from blackstack.errors import UsageError

FP4_BITS = 4
FP4_BLOCK, MX_BLOCK = 16, 32  # elements that share a scale: NVFP4, MXFP4


@dataclass(frozen=True, kw_only=True)
class Scheme:
    """How the elements of one matrix are stored.

    Attributes:
        name: for people: ``awq 4-bit g128``.
        element_bits: of one element.
        group: elements of a row that share a scale; 0: one scale for each output row.
        scale_bytes: of one scale; ``zero_bits`` of one zero point.
        block: rows and columns that share a scale instead, for block-wise FP8.
        mxfp4: an engine pads experts of this format.
    """

    name: str
    element_bits: float
    group: int = 0
    scale_bytes: float = 0.0
    zero_bits: float = 0.0
    block: tuple[int, int] | None = None
    mxfp4: bool = False

    def bytes_of(self, rows: int, columns: int) -> float:
        """Return the bytes of a matrix of so many outputs and inputs, scales and zero points included."""
        data = rows * columns * self.element_bits / 8
        if self.block:
            return data + math.ceil(rows / self.block[0]) * math.ceil(columns / self.block[1]) * self.scale_bytes
        groups = math.ceil(columns / self.group) if self.group else 1
        return data + rows * groups * (self.scale_bytes + self.zero_bits / 8)


@dataclass(frozen=True, kw_only=True)
class Quantisation:
    """The schemes of a checkpoint, and where they do not hold.

    Attributes:
        plain: what every other matrix is stored in.
        schemes: a pattern of names and the scheme there, in order; the first that fits wins.
        skipped: patterns of modules that stay plain.
        lm_head: whether the head is quantised too.
        notes: what was assumed.
    """

    plain: Scheme
    schemes: tuple[tuple[str, Scheme], ...] = ()
    skipped: tuple[str, ...] = ()
    lm_head: bool = False
    notes: tuple[str, ...] = field(default=())

    def scheme(self, name: str, *, linear: bool) -> Scheme:
        """Return the scheme of a module, such as ``model.layers.0.self_attn.q_proj``."""
        if not linear or not self.schemes or (name.endswith("lm_head") and not self.lm_head):
            return self.plain
        if any(_fits(pattern, name) for pattern in self.skipped):
            return self.plain
        return next((scheme for pattern, scheme in self.schemes if _fits(pattern, name)), self.plain)

    @property
    def label(self) -> str:
        """The schemes' names for people."""
        return ", ".join(dict.fromkeys(scheme.name for _, scheme in self.schemes)) or self.plain.name


def read(config: Mapping[str, Any], dtype: str) -> Quantisation:
    """Read a config's ``quantization_config`` (or none).

    Raises:
        UsageError: a method that is not known here; nothing is guessed of it.
    """
    widths = {"bfloat16": 16, "float16": 16, "half": 16, "float32": 32, "float": 32}
    if dtype not in widths:
        raise UsageError(f"config.json: torch_dtype {dtype!r} is not known", why=f"known: {', '.join(widths)}")
    plain = Scheme(name=dtype, element_bits=widths[dtype])
    told = config.get("quantization_config") or config.get("compression_config") or {}
    if not told:
        return Quantisation(plain=plain)
    method = str(told.get("quant_method") or "").lower().replace("_", "-")
    reader = _METHODS.get(method)
    if reader is None:
        raise UsageError(
            f"config.json: quant_method {method or 'is missing'!r}: how its weights are stored is not known",
            why=f"known: {', '.join(sorted(_METHODS))}",
            fix="give a folder with the weights: their index says the bytes",
        )
    return reader(told, plain)


def _awq(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    bits, group = (
        int(told.get("bits", told.get("w_bit", 4))),
        int(told.get("group_size", told.get("q_group_size", 128))),
    )
    zero = bits if told.get("zero_point", True) else 0
    scheme = Scheme(
        name=f"awq {bits}-bit g{group}", element_bits=bits, group=max(group, 0), scale_bytes=2, zero_bits=zero
    )
    return Quantisation(plain=plain, schemes=(("*", scheme),), skipped=_skipped(told))


def _gptq(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    bits, group = int(told.get("bits", 4)), int(told.get("group_size", 128))
    # Zero points lie in the file also where the quantisation is symmetric.
    scheme = Scheme(
        name=f"gptq {bits}-bit g{group}", element_bits=bits, group=max(group, 0), scale_bytes=2, zero_bits=bits
    )
    return Quantisation(
        plain=plain, schemes=(("*", scheme),), skipped=_skipped(told), lm_head=bool(told.get("lm_head"))
    )


def _fp8(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    block = told.get("weight_block_size")
    scheme = Scheme(
        name="fp8" + (f" {block[0]}x{block[1]}" if block else ""),
        element_bits=8,
        scale_bytes=4,
        block=(int(block[0]), int(block[1])) if block else None,
    )
    return Quantisation(plain=plain, schemes=(("*", scheme),), skipped=_skipped(told))


def _mxfp4(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    return Quantisation(plain=plain, schemes=(("*experts*", _MXFP4),), skipped=_skipped(told))


def _bitsandbytes(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    if told.get("load_in_8bit") or told.get("_load_in_8bit"):
        scheme = Scheme(name="bitsandbytes 8-bit", element_bits=8, scale_bytes=4)
    elif told.get("bnb_4bit_use_double_quant"):
        # a byte for each 64, and a float for each 256 of those bytes
        scheme = Scheme(name="bitsandbytes 4-bit", element_bits=4, group=64, scale_bytes=1 + 4 / 256)
    else:
        scheme = Scheme(name="bitsandbytes 4-bit", element_bits=4, group=64, scale_bytes=4)
    skipped = (*_skipped(told), *map(str, told.get("llm_int8_skip_modules") or ()))
    return Quantisation(plain=plain, schemes=(("*", scheme),), skipped=skipped)


def _modelopt(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    if told.get("config_groups"):
        return _compressed(told, plain)
    inner = told.get("quantization") or told
    algorithm = str(inner.get("quant_algo", "")).upper()
    schemes = {"FP8": Scheme(name="fp8", element_bits=8, scale_bytes=0), "NVFP4": _NVFP4, "W4A16_NVFP4": _NVFP4}
    if algorithm not in schemes:
        raise UsageError(
            f"config.json: modelopt's quant_algo {algorithm!r} is not known", why=f"known: {sorted(schemes)}"
        )
    skipped = (*_skipped(told), *map(str, inner.get("exclude_modules") or ()))
    return Quantisation(plain=plain, schemes=(("*", schemes[algorithm]),), skipped=skipped)


def _compressed(told: Mapping[str, Any], plain: Scheme) -> Quantisation:
    schemes: list[tuple[str, Scheme]] = []
    for group in (told.get("config_groups") or {}).values():
        weights = group.get("weights") or {}
        scheme = _of_weights(weights, str(group.get("format") or told.get("format") or ""))
        schemes += [
            ("*" if target == "Linear" else str(target), scheme) for target in group.get("targets") or ["Linear"]
        ]
    return Quantisation(plain=plain, schemes=tuple(schemes), skipped=_skipped(told))


def _of_weights(weights: Mapping[str, Any], form: str) -> Scheme:
    bits, strategy = int(weights.get("num_bits", 8)), str(weights.get("strategy", "tensor"))
    fp4 = weights.get("type") == "float" and bits == FP4_BITS
    if "nvfp4" in form or (fp4 and weights.get("group_size") == FP4_BLOCK):
        return _NVFP4
    if "mxfp4" in form or fp4:
        return _MXFP4
    kind = "fp8" if weights.get("type") == "float" else f"int{bits}"
    if block := weights.get("block_structure"):
        return Scheme(name=f"{kind} block", element_bits=bits, scale_bytes=2, block=(int(block[0]), int(block[1])))
    group = int(weights.get("group_size") or 0) if strategy == "group" else 0
    zero = 0 if weights.get("symmetric", True) else bits
    name = f"{kind}{f' g{group}' if group else ''} ({form or 'compressed-tensors'})"
    return Scheme(name=name, element_bits=bits, group=group, scale_bytes=2, zero_bits=zero)


def _skipped(told: Mapping[str, Any]) -> tuple[str, ...]:
    lists: Sequence[Any] = (told.get("ignore"), told.get("modules_to_not_convert"), told.get("ignored_layers"))
    return tuple(str(word) for words in lists for word in words or ())


def _fits(pattern: str, name: str) -> bool:
    # Multimodal checkpoints put the language model one or two names deeper than we do.
    pattern = re.sub(r"^(model\.)?language_model\.(model\.)?", "model.", pattern)
    if pattern.startswith("re:"):
        return re.match(pattern[3:], name) is not None
    if "*" in pattern:
        return fnmatch.fnmatchcase(name, pattern) or fnmatch.fnmatchcase(name, f"{pattern}.*")
    return name == pattern or name.startswith(f"{pattern}.") or f".{pattern}." in f".{name}."


_NVFP4 = Scheme(name="nvfp4", element_bits=4, group=FP4_BLOCK, scale_bytes=1)
_MXFP4 = Scheme(name="mxfp4", element_bits=4, group=MX_BLOCK, scale_bytes=1, mxfp4=True)
_METHODS: Mapping[str, Callable[[Mapping[str, Any], Scheme], Quantisation]] = {
    "awq": _awq,
    "awq-marlin": _awq,
    "gptq": _gptq,
    "gptq-marlin": _gptq,
    "fp8": _fp8,
    "fbgemm-fp8": _fp8,
    "mxfp4": _mxfp4,
    "gpt-oss-mxfp4": _mxfp4,
    "bitsandbytes": _bitsandbytes,
    "modelopt": _modelopt,
    "modelopt-fp4": _modelopt,
    "compressed-tensors": _compressed,
}
