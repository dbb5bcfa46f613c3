"""Which files a package cannot do without, and which features of a stack rest on which file.

This is knowledge about packages, so it is data; the rules that use it are in `examine` and `features`.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

#: Files that a package opens only if they can be opened, or only for something special. All others are
#: required.
OPTIONAL: dict[str, tuple[str, ...]] = {
    "nvidia-*": ("*",),  # libraries for others: who asks for one finds out for himself
    "cuda-*": ("*",),
    "triton*": ("triton/backends/*", "triton/profiler/*"),
    "torch": ("*nvshmem*", "*libtorch_cuda_linalg*", "*libcaffe2_nvrtc*"),  # opened at their first use
    "torchaudio": ("*sox*", "torio/*"),  # other ways to read files
    "vllm": ("*_flashmla*", "*_vllm_fa3_C*", "*_vllm_fa4*", "*cumem_allocator*", "*_qutlass*"),
    "sgl*-kernel": ("*flash_ops*", "*flashmla_ops*", "deep_gemm/*", "*mscclpp*"),
    "xformers": ("*flash_attn_3*",),
    "numpy": ("*_tests*",),
    "cupy*": (
        "*cutensor*",
        "*cusolver*",
        "*cudnn*",
        "*nccl*",
    ),  # it opens these libraries itself, where they are
    "numba": ("*tbbpool*", "*omppool*"),  # ways to run threads; one of three is enough
}


@dataclass(frozen=True)
class Role:
    """A feature, the file that carries it, and what happens where that has no code for the GPU."""

    packages: str
    feature: str
    files: tuple[str, ...]
    otherwise: str
    fix: str = ""


ROLES = (
    Role("vllm", "attention: FlashAttention 2", ("*_vllm_fa2_C*",), "TRITON_ATTN is used"),
    Role(
        "vllm",
        "attention: FlashAttention 3",
        ("*_vllm_fa3_C*",),
        "FLASH_ATTN means FA2; with attention sinks (gpt-oss) it stops with «Sinks are only supported in "
        "FlashAttention 3»: let TRITON_ATTN be chosen",
        fix="--attention-backend TRITON_ATTN   # until vLLM 0.13: VLLM_ATTENTION_BACKEND=TRITON_ATTN",
    ),
    Role("vllm", "attention: FlashMLA", ("*_flashmla_C*",), "DeepSeek models use TRITON_MLA"),
    Role("vllm", "MoE, MXFP4 by Marlin", ("vllm/_moe_C*",), "no mixture-of-experts model runs"),
    Role("vllm", "quantised GEMM, all-reduce", ("vllm/_C.*", "vllm/_C_stable*"), "nothing runs"),
    Role(
        "sgl*-kernel",
        "MoE, quantised GEMM, sampling, all-reduce",
        ("sgl_kernel/common_ops*", "sgl_kernel/sm*/common_ops*"),
        "nothing runs",
    ),
    Role(
        "sgl*-kernel",
        "attention: FlashAttention 3",
        ("*flash_ops*",),
        "use --attention-backend triton (gpt-oss) or flashinfer",
        fix="--attention-backend triton",
    ),
    Role("flash-attn", "attention: flash-attn", ("flash_attn_2_cuda*",), "the engine's own attention is used"),
    Role("xformers", "attention: xformers", ("xformers/_C*",), "the engine's own attention is used"),
    Role("bitsandbytes", "bitsandbytes quantisation", ("*libbitsandbytes_cuda*",), "such a model does not load"),
)


def optional(package: str, path: str) -> bool:
    """May PATH of PACKAGE fail without anybody noticing?"""
    return any(
        fnmatchcase(path, pattern)
        for name, patterns in OPTIONAL.items()
        if fnmatchcase(package, name)
        for pattern in patterns
    )
