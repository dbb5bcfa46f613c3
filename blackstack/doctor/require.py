"""NVIDIA_REQUIRE_CUDA: what an image demands of a machine, and whether this one has it.

``cuda>=12.9 brand=tesla,driver>=535,driver<536``: words are alternatives, and in a word the commas join demands.
NVIDIA's list of alternatives names data-centre drivers with forward compatibility; no GeForce is among them.
Source: https://docs.nvidia.com/datacenter/cloud-native/container-toolkit/latest/docker-specialized.html
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Mapping
from typing import Any

from blackstack.versions import numbers

_DEMAND = re.compile(r"(\w+)\s*(>=|<=|!=|=|<|>)\s*([\w.]+)")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    ">=": operator.ge,
    "<=": operator.le,
    "!=": operator.ne,
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
}


def is_met(require: str, *, cuda: str, driver: str, brand: str, arch: str) -> bool:
    """Tell whether a machine has what an image demands; an empty demand is met.

    >>> image = "cuda>=12.9 brand=tesla,driver>=535,driver<536"
    >>> is_met(image, cuda="12.8", driver="570.133.20", brand="geforce", arch="12.0")
    False
    >>> is_met(image, cuda="12.2", driver="535.183.01", brand="tesla", arch="9.0")
    True
    """
    machine = {"cuda": cuda, "driver": driver, "brand": brand, "arch": arch}
    alternatives = require.split()
    return not alternatives or any(
        all(_holds(demand, machine) for demand in alternative.split(",")) for alternative in alternatives
    )


def _holds(demand: str, machine: Mapping[str, str]) -> bool:
    found = _DEMAND.fullmatch(demand.strip())
    if not found or found[1] not in machine:
        return False
    name, compare, wanted = found[1], _COMPARE[found[2]], found[3]
    had = machine[name]
    if name == "brand":
        return compare(had, wanted)
    length = len(numbers(wanted))  # 535.183 is not less than 536, and 12.9 is at least 12
    return bool(numbers(had)) and compare(_cut(had, length), numbers(wanted))


def _cut(version: str, length: int) -> tuple[int, ...]:
    cut = numbers(version)[:length]
    return cut + (0,) * (length - len(cut))
