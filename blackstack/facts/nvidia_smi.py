"""What ``nvidia-smi`` prints → facts. Pure: the text comes from outside."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping

from blackstack.facts.gpu import Gpu, Gpus, Holder, Why

_FIELDS = (  # names of `nvidia-smi --help-query-gpu`
    "index",
    "name",
    "uuid",
    "driver_version",
    "compute_cap",
    "memory.total",
    "memory.free",
    "memory.used",
    "display_active",
    "persistence_mode",
    "ecc.mode.current",
    "mig.mode.current",
    "power.limit",
    "power.default_limit",
    "pcie.link.gen.current",
    "pcie.link.width.current",
    "pcie.link.width.max",
)
QUERY = (f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader,nounits")
HOLDERS = ("--query-compute-apps=gpu_uuid,pid,process_name,used_gpu_memory", "--format=csv,noheader,nounits")

# From driver 610 on the head says «CUDA UMD Version», because libcuda and the kernel's part may differ.
_CUDA = re.compile(r"CUDA (?:UMD )?Version:\s*(\d+\.\d+)")
_FAILURES: tuple[tuple[str, Why], ...] = (
    ("version mismatch", "mismatch"),
    ("couldn't communicate with the NVIDIA driver", "not-loaded"),
    ("Driver Not Loaded", "not-loaded"),
    ("Insufficient Permissions", "permission"),
    ("No devices were found", "no-devices"),
    ("GPU is lost", "lost"),
)
_BRANDS = (("GeForce", "geforce"), ("TITAN", "titan"), ("Quadro", "quadro"), ("Tesla", "tesla"), ("RTX", "nvidiartx"))


def read(text: str, *, head: str = "", holders: str = "") -> Gpus:
    """Return the GPUs.

    Args:
        text: what the command with the words QUERY printed.
        head: what it prints without any words; only there stands the CUDA version.
        holders: what the command with the words HOLDERS printed.
    """
    rows = [dict(zip(_FIELDS, row, strict=True)) for row in _rows(text) if len(row) == len(_FIELDS)]
    if not rows:
        return failure(text)
    cuda = _CUDA.search(head)
    held = list(_rows(holders))
    return Gpus(
        source="nvidia-smi",
        driver=rows[0]["driver_version"],
        cuda=cuda[1] if cuda else "",
        cards=tuple(_card(row, held) for row in rows),
    )


def failure(text: str) -> Gpus:
    """Return why there are no GPUs, from what the command printed instead of a table."""
    why: Why = next((why for words, why in _FAILURES if words.lower() in text.lower()), "unknown")
    return Gpus(source="nvidia-smi", why_none=why, detail=" ".join(text.split())[:300])


def _rows(text: str) -> Iterator[list[str]]:
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) > 1:
            yield [cell.strip() for cell in row]


def _card(row: Mapping[str, str], held: list[list[str]]) -> Gpu:
    mine = [Holder(pid=int(one[1]), name=one[2], mib=_whole(one[-1])) for one in held if one[0] == row["uuid"]]
    return Gpu(
        index=_whole(row["index"]) or 0,
        name=row["name"],
        uuid=row["uuid"],
        compute_capability=row["compute_cap"] if _number(row["compute_cap"]) else "",
        total_mib=_whole(row["memory.total"]) or 0,
        free_mib=_whole(row["memory.free"]) or 0,
        used_mib=_whole(row["memory.used"]) or 0,
        brand=next((brand for word, brand in _BRANDS if word in row["name"]), "unknown"),
        display=_switch(row["display_active"]),
        persistence=_switch(row["persistence_mode"]),
        ecc=_switch(row["ecc.mode.current"]),
        mig=_switch(row["mig.mode.current"]),
        power_limit_w=_number(row["power.limit"]),
        power_default_w=_number(row["power.default_limit"]),
        pcie_generation=_whole(row["pcie.link.gen.current"]),
        pcie_width=_whole(row["pcie.link.width.current"]),
        pcie_width_max=_whole(row["pcie.link.width.max"]),
        holders=tuple(sorted(mine, key=lambda holder: -(holder.mib or 0))),
    )


def _switch(text: str) -> bool | None:
    return {"enabled": True, "disabled": False}.get(text.lower())  # [N/A] and [Not Supported] are neither


def _whole(text: str) -> int | None:
    return int(text) if text.isdecimal() else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
