"""What the GPU did while the load ran; a value that the driver does not tell is left out alone."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.around import remarks
from blackstack.bench.gpu import Gpu
from blackstack.bench.machine import Processors, server_processes
from blackstack.bench.target import Address
from simulator import Simulator
from tests.unit.fake_nvml import fake_nvml, refuse

WHOLE = {
    "processes",
    "throttle_reasons",
    "samples",
    "power_w",
    "graphics_mhz",
    "memory_mhz",
    "temperature_c",
    "memory_used_mib",
}


def test_the_extremes_and_the_mean_of_what_was_seen_are_told() -> None:
    watts = iter((300_000, 500_000))
    gpu = Gpu(fake_nvml(nvmlDeviceGetPowerUsage=lambda _handle: next(watts)))
    gpu.sample()
    gpu.sample()

    (told,) = gpu.as_dict()

    assert set(told) == WHOLE
    assert told["samples"] == 2
    assert told["power_w"] == {"min": 300.0, "mean": 400.0, "max": 500.0}
    assert (told["graphics_mhz"]["max"], told["memory_mhz"]["max"]) == (2600, 14001)
    assert told["memory_used_mib"]["max"] == 2048
    assert told["throttle_reasons"] == ["sw_power_cap", "sw_thermal_slowdown"]


@pytest.mark.parametrize(
    ("question", "missing"),
    [
        ("nvmlDeviceGetPowerUsage", {"power_w"}),
        ("nvmlDeviceGetClockInfo", {"graphics_mhz", "memory_mhz"}),
        ("nvmlDeviceGetTemperature", {"temperature_c"}),
        ("nvmlDeviceGetMemoryInfo", {"memory_used_mib"}),
        ("nvmlDeviceGetCurrentClocksThrottleReasons", {"throttle_reasons"}),
        ("nvmlDeviceGetComputeRunningProcesses", {"processes"}),
    ],
)
def test_what_is_not_told_is_left_out_and_never_taken_for_nothing(question: str, missing: set[str]) -> None:
    gpu = Gpu(fake_nvml(**{question: refuse(4)}))
    gpu.sample()

    (told,) = gpu.as_dict()

    assert set(told) == WHOLE - missing


def test_a_card_that_is_not_ours_to_ask_is_left_out_and_the_others_are_read() -> None:
    def handle(index: int) -> int:
        return index or refuse(4)()

    gpu = Gpu(fake_nvml(nvmlDeviceGetCount=lambda: 2, nvmlDeviceGetHandleByIndex=handle))
    gpu.sample()

    assert len(gpu.as_dict()) == 1


def test_without_a_driver_there_is_no_gpu() -> None:
    gpu = Gpu(fake_nvml(nvmlInit=refuse(12)))
    gpu.sample()

    assert gpu.as_dict() == []


def test_what_was_on_the_gpu_is_told_with_its_process_and_whose_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    held = {os.getpid(): 24 << 30, 4000001: 3 << 30, 4000002: None}  # of the last one it is not told
    processes = [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in held.items()]
    library = fake_nvml(nvmlDeviceGetComputeRunningProcesses=lambda _handle: processes)
    monkeypatch.setattr("blackstack.nvml._binding", lambda: library)
    with Simulator() as server:
        load = Workload(warmup=0, requests=4, output_tokens=4)
        (run,) = measure(Target(url=server.url), load).as_dict()["runs"]

    (card,) = run["surroundings"]["gpu"]
    assert card["power_w"]["max"] == 312.0
    assert card["memory_used_mib"]["max"] == 2048
    ours, other, silent = card["processes"]
    assert (ours["pid"], ours["used_mib"], ours["server"]) == (os.getpid(), 24 * 1024, True)
    assert ours["name"] == psutil.Process().name()
    assert (other["pid"], other["used_mib"], other["server"]) == (4000001, 3 * 1024, False)
    assert silent["used_mib"] is None
    assert "GPU 0 slowed itself down: sw_power_cap, sw_thermal_slowdown" in run["remarks"]
    assert "GPU 0 was also used by process 4000001, with 3,072 MiB: not the server's" in run["remarks"]


def test_a_server_behind_a_proxy_is_not_called_a_stranger() -> None:
    gpu = Gpu(fake_nvml())  # process 7 holds the card
    gpu.sample()
    proxy, server = frozenset({4000001, 4000002}), frozenset({4000001, 7})

    def whose(processes: frozenset[int]) -> bool | None:
        (card,) = gpu.as_dict(processes)
        told: bool | None = card["processes"][0]["server"]
        return told

    assert whose(proxy) is None
    assert whose(server) is True
    assert list(remarks({"server": {"during": [], "increase": {}}, "gpu": gpu.as_dict(proxy)})) == [
        "GPU 0 slowed itself down: sw_power_cap, sw_thermal_slowdown"
    ]


@pytest.mark.parametrize("url", ["http://192.0.2.7:8000", "http://127.0.0.1:1"])
def test_the_processes_of_a_server_that_cannot_be_seen_are_not_guessed(url: str) -> None:
    assert server_processes(Address.of(url)) is None


def test_the_processes_of_a_server_here_are_those_that_listen() -> None:
    with Simulator() as server:
        assert os.getpid() in (server_processes(Address.of(server.url)) or ())


def test_busy_processors_are_seen() -> None:
    with Simulator() as server:
        (run,) = measure(Target(url=server.url), Workload(warmup=0, requests=40)).as_dict()["runs"]

    assert run["surroundings"]["cpu"]["cores"] == psutil.cpu_count()
    assert 0 <= run["surroundings"]["cpu"]["busy_share"] <= 1
    assert Processors().as_dict()["load_before"] is not None


def test_work_of_others_is_told_apart_from_the_server_s_and_this_client_s() -> None:
    def burn(seconds: float) -> subprocess.Popen[bytes]:
        code = f"import time; end = time.thread_time() + {seconds}\nwhile time.thread_time() < end: pass"
        return subprocess.Popen([sys.executable, "-c", code])

    with burn(30) as other:
        alone = Processors(frozenset())
        hers = Processors(frozenset({other.pid}))
        burn(0.5).wait()  # as a worker of ours, which has ended
        told = [processors.as_dict() for processors in (alone, hers, Processors(None))]
        other.kill()

    assert told[0]["others_share"] - told[1]["others_share"] > 0.05
    assert told[0]["busy_share"] - told[0]["others_share"] > 0.02
    assert told[2]["others_share"] is None


def test_others_are_remarked_where_they_are_felt() -> None:
    def said(share: float | None) -> list[str]:
        server: dict[str, Any] = {"during": [], "increase": {}}
        return list(remarks({"server": server, "gpu": [], "cpu": {"others_share": share}}))

    assert said(0.34) == ["machine: other processes than the server's and this client's used 34% of its processors"]
    assert (said(0.05), said(None)) == ([], [])


def test_only_what_is_out_of_the_ordinary_is_remarked() -> None:
    quiet = {"during": [{"running": 3.0, "waiting": 0.0, "kv_usage": 0.2}], "increase": {"preemptions": 0.0}}
    busy = {
        "during": [{"running": 8.0, "waiting": 5.0, "kv_usage": 0.99}, {"running": 7.0, "waiting": 0.0}],
        "increase": {"preemptions": 3.0, "prefix_cache_queries": 100.0, "prefix_cache_hits": 90.0},
    }

    assert list(remarks({"server": quiet, "gpu": []})) == []
    assert list(remarks({"server": quiet, "gpu": [{"samples": 2}]})) == []  # a card that tells nothing
    assert list(remarks({"server": busy, "gpu": []})) == [
        "server: up to 5 requests waited in its queue, 8 ran",
        "server: its KV cache was 99% full",
        "server: 3 preemptions, work that was done twice",
        "server: 90% of the prompt tokens came from its prefix cache",
    ]
