"""Where things are kept: the model cache and its token, what of the repository can be written to, free room."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_WRITTEN_TO = (".blackstack", "results")  # what we note and measure
TOKENS = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")


@dataclass(frozen=True, kw_only=True)
class Places:
    """The folders that count.

    Attributes:
        cache: the Hugging Face cache that a server without Docker uses.
        cache_free_bytes: the room on its disk.
        token: where a Hugging Face token is, never the token: ``HF_TOKEN``, a file, or empty.
    """

    cache: str
    cache_free_bytes: int
    token: str


def look(env: Mapping[str, str] = os.environ) -> Places:
    """Look at the places."""
    home = hub_home(env)
    cache = Path(env.get("HF_HUB_CACHE") or home / "hub")
    token_file = Path(env.get("HF_TOKEN_PATH") or home / "token")
    return Places(
        cache=str(cache),
        cache_free_bytes=free(cache) or 0,
        token=next((name for name in TOKENS if env.get(name)), str(token_file) if _has_content(token_file) else ""),
    )


def hub_home(env: Mapping[str, str]) -> Path:
    """Return the folder of the Hugging Face hub, as its own library finds it.

    Source: https://huggingface.co/docs/huggingface_hub/package_reference/environment_variables
    """
    if env.get("HF_HOME"):
        return Path(env["HF_HOME"]).expanduser()
    return Path(env.get("XDG_CACHE_HOME") or Path.home() / ".cache").expanduser() / "huggingface"


def free(path: Path) -> int | None:
    """Return the free bytes of the disk that a path is on, or will be; None where nobody may look."""
    for place in (path, *path.parents):
        try:
            return shutil.disk_usage(place).free
        except FileNotFoundError:
            continue
        except OSError:
            return None
    return None


def closed(root: Path) -> tuple[str, ...]:
    """Return the folders of a repository that we write to and may not."""
    return tuple(name for name in _WRITTEN_TO if not _is_open(root / name))


def size(folder: str) -> int:
    """Return the bytes of all files in a folder; it looks at each of them."""
    total = 0
    for place, _, files in os.walk(folder):  # the cache holds links; following them would count twice
        for name in files:
            try:
                total += os.lstat(Path(place) / name).st_size
            except OSError:
                continue
    return total


def _is_open(path: Path) -> bool:
    existing = next(place for place in (path, *path.parents) if place.exists())
    return os.access(existing, os.W_OK | os.X_OK)  # root is stopped too where the disk is mounted read-only


def _has_content(path: Path) -> bool:
    try:
        return path.stat().st_size > 0
    except OSError:
        return False
