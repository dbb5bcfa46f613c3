"""What the GPU did while the load ran; a value that the driver does not tell is left out alone."""

from __future__ import annotations

import pytest

from blackstack.bench.gpu import Gpu
from tests.unit.fake_nvml import fake_nvml, refuse

WHOLE = {"samples", "power_w", "graphics_mhz", "memory_mhz", "temperature_c", "memory_used_mib", "throttle_reasons"}


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
