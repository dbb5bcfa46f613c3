"""What the smoke tests of the GPU stacks share. There is no GPU where they run: what needs one says so and is skipped.

Two more variables tell where things are:

=====================  ======================================================================================
BLACKSTACK_COMMAND     the service's command as compose resolves it, JSON: the flags that the server will get
BLACKSTACK_STUBS       a folder with a libcuda.so.1 that has the driver's names and nothing behind them
=====================  ======================================================================================
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

SEAL = Path("/etc/blackstack-seal.json")
STUBS = os.environ.get("BLACKSTACK_STUBS", "")
SITE = Path(sysconfig.get_paths()["purelib"])


def command() -> list[str]:
    """Return the flags that the stack starts its server with."""
    words = json.loads(os.environ.get("BLACKSTACK_COMMAND", "[]"))
    return [str(word) for word in words]


def seal() -> dict[str, object]:
    """Return what the image says of its own build."""
    data: dict[str, object] = json.loads(SEAL.read_text(encoding="utf-8"))
    return data


def has_gpu() -> bool:
    """Whether a driver is here."""
    return Path("/dev/nvidiactl").exists()


def cannot_load() -> str:
    """Say why compiled parts cannot be loaded here, or nothing."""
    if has_gpu() or STUBS:
        return ""
    return "there is neither a driver nor a stand-in for its libcuda.so.1 (nox makes one where there is gcc)"


def run(code: str, *words: str) -> str:
    """Run Python in a process of its own, with the stand-in for the driver's library where there is no driver.

    Raises:
        AssertionError: it failed; with what it said.
    """
    env = dict(os.environ)
    if STUBS and not has_gpu():
        env["LD_LIBRARY_PATH"] = STUBS
    done = subprocess.run(
        [sys.executable, "-c", code, *words], env=env, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def version(package: str) -> str:
    """Return a package's version, or nothing."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def nvcc() -> str:
    """Return where nvcc is, or nothing."""
    return shutil.which("nvcc") or shutil.which("nvcc", path="/usr/local/cuda/bin") or ""
