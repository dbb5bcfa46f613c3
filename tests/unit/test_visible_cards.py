"""On a machine of two cards CUDA_VISIBLE_DEVICES decides which one everybody here looks at."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from blackstack import nvml
from blackstack.errors import UsageError
from blackstack.trial import ground
from blackstack.verbs import fitting

from .fake_nvml import fake_nvml

NAMES = ("NVIDIA GeForce RTX 5090", "NVIDIA H200")
USED_MIB = (500, 70_000)


@pytest.fixture(autouse=True)
def two_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GeForce with 500 MiB in use, and an H200 on which somebody is at work."""
    binding = fake_nvml(
        nvmlDeviceGetCount=lambda: len(NAMES),
        nvmlDeviceGetName=lambda card: NAMES[card],
        nvmlDeviceGetUUID=lambda card: f"GPU-{card}",
        nvmlDeviceGetMemoryInfo=lambda card: SimpleNamespace(total=140 << 30, free=0, used=USED_MIB[card] << 20),
    )
    monkeypatch.setattr(nvml, "_binding", lambda: binding)
    monkeypatch.setenv("CUDA_DEVICE_ORDER", "PCI_BUS_ID")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)


def test_a_hidden_card_is_not_looked_at_between_two_trials(monkeypatch: pytest.MonkeyPatch) -> None:
    assert ground.vram() == [500, 70_000]

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")

    assert ground.vram() == [500, None]


def test_the_planner_takes_the_card_that_cuda_shows_first(monkeypatch: pytest.MonkeyPatch) -> None:
    assert fitting._card(None).name == "rtx-5090"

    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1,0")

    assert fitting._card(None).name == "h200"


def test_the_planner_says_which_variable_hides_the_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "7")

    with pytest.raises(UsageError, match="which card") as caught:
        fitting._card(None)

    assert "CUDA_VISIBLE_DEVICES=7" in str(caught.value)
