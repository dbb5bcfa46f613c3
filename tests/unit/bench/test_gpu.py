"""The GPU while the load runs, and whose processes were on it: read through a library with NVML's own declarations."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import psutil
import pytest

from blackstack.bench import Target, Workload, measure
from blackstack.bench.around import remarks
from blackstack.bench.machine import Processors, server_processes
from blackstack.bench.target import Address
from simulator import Simulator


@pytest.fixture
def nvml(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver with one GPU, on which this process is the server."""
    if (gcc := shutil.which("gcc")) is None:
        pytest.skip("no gcc to build a library with")
    library = tmp_path / "libnvidia-ml.so.1"
    source = Path(__file__).with_name("nvml.c")
    subprocess.run([gcc, "-shared", "-fPIC", "-o", library, source], check=True)
    monkeypatch.setattr("blackstack.bench.gpu.LIBRARY", str(library))
    monkeypatch.setenv("SERVER_PID", str(os.getpid()))


@pytest.mark.usefixtures("nvml")
def test_what_was_on_the_gpu_is_told_with_its_process_and_whose_it_is() -> None:
    with Simulator() as server:
        load = Workload(warmup=0, requests=4, output_tokens=4)
        (run,) = measure(Target(url=server.url), load).as_dict()["runs"]

    (card,) = run["surroundings"]["gpu"]
    assert card["power_w"]["max"] == 412.5
    assert card["memory_used_mib"]["max"] == 30 * 1024
    ours, other, silent = card["processes"]
    assert (ours["pid"], ours["used_mib"], ours["server"]) == (os.getpid(), 24 * 1024, True)
    assert ours["name"] == psutil.Process().name()
    assert (other["pid"], other["used_mib"], other["server"]) == (4000001, 3 * 1024, False)
    assert silent["used_mib"] is None
    assert "GPU 0 slowed itself down: sw_power_cap" in run["remarks"]
    assert "GPU 0 was also used by process 4000001, with 3,072 MiB: not the server's" in run["remarks"]


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


def test_only_what_is_out_of_the_ordinary_is_remarked() -> None:
    quiet = {"during": [{"running": 3.0, "waiting": 0.0, "kv_usage": 0.2}], "increase": {"preemptions": 0.0}}
    busy = {
        "during": [{"running": 8.0, "waiting": 5.0, "kv_usage": 0.99}, {"running": 7.0, "waiting": 0.0}],
        "increase": {"preemptions": 3.0, "prefix_cache_queries": 100.0, "prefix_cache_hits": 90.0},
    }

    assert list(remarks({"server": quiet, "gpu": []})) == []
    assert list(remarks({"server": busy, "gpu": []})) == [
        "server: up to 5 requests waited in its queue, 8 ran",
        "server: its KV cache was 99% full",
        "server: 3 preemptions, work that was done twice",
        "server: 90% of the prompt tokens came from its prefix cache",
    ]
