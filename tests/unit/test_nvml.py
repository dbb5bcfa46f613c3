"""NVML is begun once, each question is answered or refused alone, and without a driver there is a sentence."""

from __future__ import annotations

import sys

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
