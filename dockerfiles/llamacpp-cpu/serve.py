"""Serve one GGUF model with llama.cpp over HTTP: OpenAI-compatible API, ``/health`` and ``/metrics``.

PyPI's ``xllamacpp`` brings llama.cpp prebuilt, but no server to start from a shell; this gives it ordinary
flags. Standard library and xllamacpp only, so that it runs in the image and in a bare environment
alike.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PACKAGE = "package:"
KEY_VARIABLE = "LLAMA_API_KEY"
FLASH_ATTENTION = {"auto": -1, "off": 0, "on": 1}  # llama.h: enum llama_flash_attn_type
CACHE_TYPES = ("f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl")  # llama.cpp's own names


class ServeError(Exception):
    """The model cannot be served; the message is a sentence for the user, without a traceback."""


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; only the model has no default."""
    parser = argparse.ArgumentParser(description="Serve one GGUF model with llama.cpp.")
    add = parser.add_argument
    add("--model", required=True, help=f"a GGUF file, or {PACKAGE}NAME/FILE inside a Python package")
    add("--alias", help="the name that clients ask for (default: the file's name)")
    add("--host", default="127.0.0.1", help="the address to listen on (default: %(default)s)")
    add("--port", type=_port, default=8080, help="the port to listen on (default: %(default)s)")
    add("--ctx-size", type=_whole, default=0, help="tokens for all slots together; 0: the model's own")
    add("--parallel", type=_counting, default=1, help="requests decoded at once (default: %(default)s)")
    add("--threads", type=_whole, default=0, help="CPU threads; 0: one a usable core")
    add("--flash-attn", choices=tuple(FLASH_ATTENTION), default="auto", help="fused attention (default: %(default)s)")
    add("--cache-type-k", choices=CACHE_TYPES, default="f16", help="how keys are kept (default: %(default)s)")
    add("--cache-type-v", choices=CACHE_TYPES, default="f16", help="how values are kept (default: %(default)s)")
    add(
        "--verbosity",
        type=_whole,
        default=3,
        help="4 also tells how attention and cache are set (default: %(default)s)",
    )
    add("--api-key", help=f"the key that clients must send (default: ${KEY_VARIABLE})")
    return parser.parse_args(argv)


def model_path(name: str) -> Path:
    """Find the model's file and look at its first bytes, before anything is loaded.

    Raises:
        ServeError: when there is no such package, no such file, or it is no GGUF file.
    """
    path = _in_package(name.removeprefix(PACKAGE)) if name.startswith(PACKAGE) else Path(name)
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as error:
        raise ServeError(f"cannot read the model file {path}: {error.strerror}") from None
    if magic != b"GGUF":
        raise ServeError(f"{path} is not a GGUF file: it starts with {magic!r}, not with b'GGUF'")
    return path


def main(argv: Sequence[str] | None = None) -> int:
    """Load the model, serve it until SIGTERM or SIGINT, and return the exit code."""
    # A signal during the load, which is one long call into C++, ends the process at once.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    args = parse(argv)
    try:
        path = model_path(args.model)
        stop = threading.Event()
        server = _start(args, path)
    except ServeError as error:
        sys.stderr.write(f"serve.py: {error}\n")
        return 1
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    stop.wait()
    del server  # its destructor ends the running requests and joins llama.cpp's threads
    return 0


def _start(args: argparse.Namespace, path: Path) -> object:
    # llama.cpp's threads wait for each other thousands of times a second. By default they spin, which on two cores
    # that do something else too (load 6) gave 8 tokens/s; spinning briefly gave 20 there, and 5 to 15 % less than
    # the default on idle cores. Read when the library is loaded.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    try:
        # Here and not above: --help and a missing file need no engine.
        import xllamacpp  # noqa: PLC0415
    except ImportError as error:
        raise ServeError(f"cannot load the engine: {error}{_advice(str(error))}") from None
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.model_alias = {args.alias or path.stem}
    params.hostnames = [args.host]
    params.port = args.port
    params.n_ctx = args.ctx_size
    params.n_parallel = args.parallel
    params.cpuparams.n_threads = args.threads or usable_cores()
    params.flash_attn_type = xllamacpp.llama_flash_attn_type(FLASH_ATTENTION[args.flash_attn])
    params.cache_type_k = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{args.cache_type_k.upper()}")
    params.cache_type_v = getattr(xllamacpp.ggml_type, f"GGML_TYPE_{args.cache_type_v.upper()}")
    params.verbosity = args.verbosity
    params.endpoint_metrics = True
    params.endpoint_slots = False  # /slots shows one client's prompt to another
    params.ui = False
    key = args.api_key or os.environ.get(KEY_VARIABLE)
    if key:
        params.api_keys = [key]
    try:
        return xllamacpp.Server(params)
    except RuntimeError:
        where = f"{args.host}:{args.port}"
        raise ServeError(f"llama.cpp could not serve {path} on {where}; it says why above") from None


def _advice(problem: str) -> str:
    # The one library that the wheel does not bring, and that slim images and minimal systems lack.
    return "; next: apt-get install libgomp1" if "libgomp" in problem else ""


def usable_cores() -> int:
    """Count the cores that this process may run on; a cpuset can make them fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _in_package(name: str) -> Path:
    package, _, file = name.partition("/")
    spec = importlib.util.find_spec(package)  # not imported: it may need what is not installed
    if spec is None or not spec.submodule_search_locations:
        raise ServeError(f"{sys.executable} has no package {package!r} to take the model {file!r} from")
    return Path(spec.submodule_search_locations[0], file)


def _port(text: str) -> int:
    return _between(text, 0, 65535)


def _whole(text: str) -> int:
    return _between(text, 0, 2**31 - 1)


def _counting(text: str) -> int:
    return _between(text, 1, 2**31 - 1)


def _between(text: str, low: int, high: int) -> int:
    if text.isdecimal() and low <= int(text) <= high:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from {low} to {high}")


if __name__ == "__main__":
    sys.exit(main())
