"""The simulator as an engine: it goes through an engine's stages, in an engine's words, and may end in any of them.

The lines are what vLLM prints there, so that whoever reads a real log reads this one; nothing is computed.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from simulator.behaviour import STAGES, Behaviour, Ending, Stage

LAST_WORDS: Final = Path(__file__).with_name("last_words")
MEAL: Final = 16 << 20  # bytes taken at a time
FULL: Final = 1 << 30  # bytes after which nothing seems to limit its memory
DISK: Final = 64 << 20  # and its temporary folder
CACHE: Final = Path("/sys/blackstack-cache")  # sysfs takes no folders, whoever asks; in a container it is read-only
PAUSE_S: Final = 0.02

# Of each stage, the line with which it begins and the one with which it ends.
LINES: Final[Mapping[Stage, tuple[str, ...]]] = {
    "import": (
        "[__init__.py:216] A simulated engine: these are vLLM's words, and nothing is computed.",
        "[core.py:77] Initializing a V1 LLM engine (simulated) with config: model='{model}'",
    ),
    "weights": (
        "[gpu_model_runner.py:2602] Starting to load model {model}...",
        "[default_loader.py:267] Loading weights took {seconds:.2f} seconds",
    ),
    "compile": (
        "[gpu_model_runner.py:2653] Model loading took 0.2500 GiB and {seconds:.6f} seconds",
        "[backends.py:559] Dynamo bytecode transform time: {seconds:.2f} s",
    ),
    "kv-cache": (
        "[monitor.py:34] torch.compile takes {seconds:.2f} s in total",
        "[kv_cache_utils.py:1087] GPU KV cache size: 46,592 tokens",
    ),
    "graph-capture": (
        "[gpu_model_runner.py:3440] Capturing CUDA graphs (mixed prefill-decode, PIECEWISE)",
        "[gpu_model_runner.py:3480] Graph capturing finished in {seconds:.0f} secs, took 0.10 GiB",
    ),
    "serving": ("[api_server.py:1912] Starting vLLM API server 0 on {url}",),
}
UP: Final = "INFO:     Application startup complete."


def say(line: str) -> None:
    """Log a line."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def start(behaviour: Behaviour, url: str) -> None:
    """Go through the stages up to serving, or end in the one in which the behaviour ends."""
    plan = behaviour.start
    for stage in STAGES:
        seconds = plan.slow.get(stage, plan.stage_s)
        words = {"model": behaviour.models[0], "url": url, "seconds": seconds}
        first, *last = (f"INFO {datetime.now(tz=UTC):%m-%d %H:%M:%S} {line.format(**words)}" for line in LINES[stage])
        say(first)
        time.sleep(seconds)
        if stage == plan.ends_at:
            end(plan.ending)
        for line in last:
            say(line)


def end(ending: Ending) -> None:
    """End this process, now."""
    if ending.last_words:
        say(LAST_WORDS.joinpath(f"{ending.last_words}.txt").read_text(encoding="utf-8").rstrip())
    if ending.by:
        BRINGS[ending.by]()
    if ending.code < 0:
        number = -ending.code
        if number != signal.SIGKILL:
            signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    os._exit(ending.code)


def eat() -> None:
    """Take memory until the kernel objects; give it back where nothing does."""
    meals = []
    while len(meals) * MEAL < FULL:
        meals.append(bytearray(os.urandom(1)) * MEAL)  # written to, so that it is really there
        time.sleep(PAUSE_S)


def fill() -> None:
    """Fill the temporary folder, and end as an engine does that cannot write its file."""
    with tempfile.TemporaryFile() as file:
        for _ in range(DISK // MEAL):
            file.write(bytes(MEAL))
            file.flush()
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "model-00001-of-00002.safetensors")


def make_cache() -> None:
    """Make a folder where none can be made, and end as an engine does without its cache."""
    CACHE.mkdir()


BRINGS: Final[Mapping[str, Callable[[], None]]] = {"memory": eat, "disk": fill, "cache": make_cache}
