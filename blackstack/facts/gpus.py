"""Ask for the GPUs: NVML where its library answers, ``nvidia-smi`` where not; none is a fact with a reason."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

from blackstack import shell
from blackstack.facts import nvidia_smi, nvml
from blackstack.facts.gpu import Gpus

PATIENCE_S = 15.0  # without persistence mode the driver wakes each card up first
_IN_WSL = "/usr/lib/wsl/lib/nvidia-smi"  # not on the PATH of services and of sudo


def look() -> Gpus:
    """Look at the GPUs; never raises, and never creates a CUDA context, which would take memory."""
    by_bus = os.environ.get("CUDA_DEVICE_ORDER") == "PCI_BUS_ID"
    return replace(_ask(), visible=os.environ.get("CUDA_VISIBLE_DEVICES"), by_bus=by_bus)


def _ask() -> Gpus:
    told = nvml.look()
    if told.cards:
        return told
    asked = _ask_nvidia_smi()
    if asked is None:
        return told
    # NVML names its errors; the program only prints sentences.
    return asked if asked.cards or told.why_none in {None, "no-driver", "unknown"} else told


def _ask_nvidia_smi() -> Gpus | None:
    program = shutil.which("nvidia-smi") or (_IN_WSL if Path(_IN_WSL).exists() else None)
    if program is None:
        return None
    done = shell.capture([program, *nvidia_smi.QUERY], timeout=PATIENCE_S)
    if done.code:
        return nvidia_smi.failure(done.out + done.err or f"nvidia-smi ended with {shell.ending(done.code)}")
    head = shell.capture([program], timeout=PATIENCE_S).out
    holders = shell.capture([program, *nvidia_smi.HOLDERS], timeout=PATIENCE_S).out
    return nvidia_smi.read(done.out, head=head, holders=holders)
