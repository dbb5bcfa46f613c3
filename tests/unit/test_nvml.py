"""NVML is begun once, each question is answered or refused alone, and without a driver there is a sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from blackstack.nvml import LIBRARY_NOT_FOUND, Nvml, NvmlError
from tests.unit.fake_nvml import fake_nvml, refuse


def test_a_question_that_is_refused_is_none_and_the_others_count() -> None:
    with Nvml(fake_nvml(nvmlDeviceGetUUID=refuse(4))) as nvml:
        card = nvml.card(0)

        assert card.ask("nvmlDeviceGetUUID") is None
        assert card.ask("nvmlDeviceGetName") == "NVIDIA GeForce RTX 5090"
        assert card.ask("nvmlDeviceGetClockInfo", 2) == 14001


def test_memory_that_is_not_told_is_none() -> None:
    assert Nvml(fake_nvml(nvmlDeviceGetMemoryInfo=refuse(3))).card(0).memory() is None


def test_a_figure_of_one_list_outlives_a_refusal_of_the_other() -> None:
    silent = [SimpleNamespace(pid=7, usedGpuMemory=None)]
    library = fake_nvml(nvmlDeviceGetGraphicsRunningProcesses=lambda _handle: silent)

    assert Nvml(library).card(0).processes() == {7: 1024}


def test_a_name_that_is_no_text_is_none() -> None:
    def garbled(_handle: object) -> str:
        return b"\xff".decode()

    assert Nvml(fake_nvml(nvmlDeviceGetName=garbled)).card(0).ask("nvmlDeviceGetName") is None


def test_the_library_is_let_go_of_also_where_that_fails() -> None:
    ended: list[int] = []

    with Nvml(fake_nvml(nvmlShutdown=lambda: ended.append(1))):
        assert not ended
    with Nvml(fake_nvml(nvmlShutdown=refuse(999))):
        pass

    assert ended == [1]


@pytest.mark.parametrize("question", ["nvmlInit", "nvmlDeviceGetCount", "nvmlDeviceGetHandleByIndex"])
def test_what_nothing_can_be_known_without_is_an_error_with_its_number(question: str) -> None:
    with pytest.raises(NvmlError) as caught, Nvml(fake_nvml(**{question: refuse(18)})) as nvml:
        nvml.card(nvml.count() - 1)

    assert caught.value.number == 18


def test_a_binding_that_is_not_installed_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)

    with pytest.raises(NvmlError, match="nvidia-ml-py is not installed") as caught:
        Nvml()

    assert caught.value.number == LIBRARY_NOT_FOUND


LOOK = """
import dataclasses, json
from blackstack.bench.gpu import Gpu
from blackstack.facts import gpus
from blackstack.trial.ground import vram
sampled = Gpu()
sampled.sample()
print(json.dumps({"facts": dataclasses.asdict(gpus.look()), "bench": sampled.as_dict(), "ground": vram()}))
"""


@pytest.mark.skipif(shutil.which("gcc") is None, reason="makes a driver's library with gcc")
def test_the_real_binding_over_an_older_driver_that_refuses_much_tells_the_rest(tmp_path: Path) -> None:
    source, library = Path(__file__).with_name("old_driver.c"), tmp_path / "libnvidia-ml.so.1"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-o", library, source], check=True)

    env = {**os.environ, "LD_LIBRARY_PATH": str(tmp_path)}
    ran = subprocess.run([sys.executable, "-c", LOOK], env=env, capture_output=True, text=True, check=False)

    assert ran.returncode == 0, ran.stderr
    told: dict[str, Any] = json.loads(ran.stdout)
    assert (told["facts"]["source"], told["facts"]["driver"], told["facts"]["cuda"]) == ("nvml", "510.47.03", "11.6")
    assert [card["name"] for card in told["facts"]["cards"]] == ["NVIDIA A10"] * 2
    assert [card["total_mib"] for card in told["facts"]["cards"]] == [24576, 0]
    holders, nobody = (card["holders"] for card in told["facts"]["cards"])
    assert {one["pid"]: one["mib"] for one in holders} == {4000001: 3072, 4000002: None}
    assert not nobody
    first, second = told["bench"]
    assert (first["power_w"]["max"], first["throttle_reasons"]) == (120.0, ["sw_power_cap"])
    assert {one["pid"]: one["used_mib"] for one in first["processes"]} == {4000001: 3072, 4000002: None}
    assert set(second) == {"samples", "graphics_mhz", "memory_mhz", "temperature_c"}
    assert told["ground"] == [2048, None]
