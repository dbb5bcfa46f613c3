"""Where a model's config.json comes from: our catalogue, a folder, or the Hugging Face hub."""

from __future__ import annotations

import json
import os
import re
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from blackstack.errors import BlockedError, UsageError, unknown_name
from blackstack.fit.model import Model
from blackstack.fit.model import read as read_config
from blackstack.fit.tables import DATA, table

_HUB = "https://huggingface.co"
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_ANSWER_S = 10
_MOST_BYTES = 4 << 20  # a config.json is some kilobytes; the index of a large model's weights a megabyte


def model_names() -> tuple[str, ...]:
    """Return the names of the catalogue."""
    return tuple(sorted(table("models.yaml")))


def find_model(name: str, *, assume: str | None = None, online: bool = True) -> Model:
    """Return a model.

    Args:
        name: of the catalogue, a folder with a config.json (or the file), or a hub's id such as ``Qwen/Qwen3-8B``.
        assume: an architecture to take it for, where its own is not known.
        online: whether the hub may be asked.

    Raises:
        UsageError: there is no such model, or its config cannot be read.
        BlockedError: the hub does not answer.
    """
    path = Path(name).expanduser()
    if path.is_dir() or path.suffix == ".json":
        return _of_folder(path, assume)
    if known := _catalogued(name):
        config = _parsed((DATA / "models" / f"{known}.json").read_bytes(), known)
        return read_config(config, known, assume=assume)
    if path.exists() or name.startswith((".", "/", "~")):
        raise UsageError(f"{name} is no folder with a config.json", fix=f"known by name: {', '.join(model_names())}")
    if online and _HUB_ID.fullmatch(name):
        return _of_hub(name, assume)
    raise unknown_name("model", name, model_names(), see="inv fit --model list")


def _catalogued(name: str) -> str | None:
    for known, row in table("models.yaml").items():
        names = {known, row["hub"], row["hub"].rpartition("/")[2], *row.get("names", ())}
        if name.lower() in {one.lower() for one in names}:
            return str(known)
    return None


def _of_folder(path: Path, assume: str | None) -> Model:
    file = path if path.suffix == ".json" else path / "config.json"
    try:
        data = file.read_bytes()
    except OSError as error:
        raise UsageError(f"{path}: no config.json can be read", why=error.strerror or str(error)) from error
    return read_config(_parsed(data, str(file)), path.name, assume=assume, checkpoint_bytes=_weights_in(file.parent))


def _weights_in(folder: Path) -> int | None:
    """Return the bytes of a folder's weights: what the index says, else the files themselves, else None."""
    index = folder / "model.safetensors.index.json"
    files = sorted(folder.glob("*.safetensors"))
    if index.is_file():
        total = _parsed(index.read_bytes(), str(index)).get("metadata", {}).get("total_size")
        if isinstance(total, int) and total > 0:
            return total
        named = set(_parsed(index.read_bytes(), str(index)).get("weight_map", {}).values())
        files = [file for file in files if file.name in named]
    return sum(_data_bytes(file) for file in files) or None


def _data_bytes(file: Path) -> int:
    """Return a safetensors file's data without its header, whose length its first eight bytes say."""
    with file.open("rb") as opened:
        header = int.from_bytes(opened.read(8), "little")
    return max(file.stat().st_size - header - 8, 0)


def _of_hub(name: str, assume: str | None) -> Model:
    config = _fetched(name, "config.json")
    if config is None:
        raise UsageError(
            f"the hub has no model {name} with a config.json",
            fix="check the spelling; known offline: " + ", ".join(model_names()),
        )
    index = _fetched(name, "model.safetensors.index.json") or {}
    total = index.get("metadata", {}).get("total_size")
    return read_config(config, name, assume=assume, checkpoint_bytes=total if isinstance(total, int) else None)


def _fetched(name: str, file: str) -> Mapping[str, Any] | None:
    """Return a JSON file of the hub, or None where it has none."""
    base = os.environ.get("HF_ENDPOINT", _HUB)
    if not base.startswith("https://"):
        raise UsageError(f"HF_ENDPOINT={base} is no https address")
    token = os.environ.get("HF_TOKEN")
    asked = urllib.request.Request(f"{base}/{name}/resolve/main/{file}")  # noqa: S310 - https, checked above
    if token and base == _HUB:  # the hub's key is for the hub
        asked.add_unredirected_header("Authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(asked, timeout=_ANSWER_S) as answer:  # noqa: S310
            return _parsed(answer.read(_MOST_BYTES), f"{name}/{file}")
    except urllib.error.HTTPError as error:
        if error.code == 404:  # noqa: PLR2004 - HTTP's own number
            return None
        raise BlockedError(
            f"the hub refuses {name}/{file}",
            why=f"HTTP {error.code} {error.reason}",
            fix="for a gated model: HF_TOKEN in the environment",
        ) from error
    except OSError as error:
        raise BlockedError(
            f"{name} is not in our catalogue, and the hub cannot be asked",
            why=str(getattr(error, "reason", error)),
            fix=["a folder with its config.json", f"known offline: {', '.join(model_names())}"],
        ) from error


def _parsed(data: bytes, where: str) -> dict[str, Any]:
    try:
        read = json.loads(data)
    except ValueError as error:
        raise UsageError(f"{where} is no JSON", why=str(error)) from error
    if not isinstance(read, dict):
        raise UsageError(f"{where} is no JSON object")
    return read
