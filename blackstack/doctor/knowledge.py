"""Which driver runs which CUDA, which CUDA makes code for which card: `knowledge.toml`, read once."""

from __future__ import annotations

import functools
import tomllib
from pathlib import Path
from typing import Any

from blackstack.versions import numbers


@functools.cache
def knowledge() -> dict[str, Any]:
    """Return the file."""
    return tomllib.loads(Path(__file__).with_name("knowledge.toml").read_text(encoding="utf-8"))


def least_driver(cuda: str) -> str:
    """Return the first driver whose CUDA is this version or newer; empty where we know none.

    >>> least_driver("13.0.2"), least_driver("12.7"), least_driver("99.0")
    ('580.65.06', '570.26', '')
    """
    wanted = numbers(cuda)[:2]
    return next((driver for known, driver in knowledge()["driver"].items() if numbers(known) >= wanted), "")


def cuda_of(driver: str) -> str:
    """Return the newest CUDA that a driver runs; empty where it is older than all we know.

    >>> cuda_of("570.133.20"), cuda_of("580.65.06"), cuda_of("470.82.01")
    ('12.8', '13.0', '')
    """
    reached = [cuda for cuda, first in knowledge()["driver"].items() if numbers(first) <= numbers(driver)]
    return reached[-1] if reached else ""


def first_toolkit(capability: str) -> str:
    """Return the first CUDA toolkit that makes code for a compute capability; empty where we do not know."""
    return str(knowledge()["code"].get(capability, ""))


def wants_open_module(device: str) -> bool:
    """Tell from a PCI device id whether only the open kernel modules drive the card."""
    return device[:2].lower() in knowledge()["open-module"]["device-ids"]
