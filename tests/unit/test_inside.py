"""A record says which card it was measured on, as its driver names it."""

from __future__ import annotations

import pytest

from blackstack import inside
from blackstack.facts.gpu import Gpu, Gpus
from blackstack.host import Host

CARD = Gpu(index=0, name="NVIDIA GeForce RTX 5090", compute_capability="12.0", total_mib=32607, power_limit_w=575.0)


def test_the_cards_and_their_driver_are_in_what_it_ran_on(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = Gpus(source="nvml", driver="580.95.05", cuda="13.0", cards=(CARD,))
    monkeypatch.setattr("blackstack.inside.gpus.look", lambda: seen)

    told = inside.ran_on(host)

    assert told["gpus"] == [
        {
            "name": "NVIDIA GeForce RTX 5090",
            "compute_capability": "12.0",
            "memory_mib": 32607,
            "power_limit_w": 575.0,
        }
    ]
    assert (told["driver"], told["cuda_driver"]) == ("580.95.05", "13.0")


def test_a_machine_without_a_card_says_nothing_of_one(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blackstack.inside.gpus.look", Gpus)

    assert "gpus" not in inside.ran_on(host)
