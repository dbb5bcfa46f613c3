"""Which stacks this machine can run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blackstack import catalog
from blackstack.catalog.schema import Needs
from blackstack.doctor import fits_here
from blackstack.doctor.checks.gpu import too_old, too_small
from blackstack.facts import Facts
from blackstack.facts.driver import Driver
from blackstack.facts.gpu import Gpus
from blackstack.facts.limits import Limits
from blackstack.host import Host

from .conftest import CARD, FACTS, card

NONE = {"gpus": Gpus(why_none="no-driver"), "driver": Driver()}


def needing(root: Path, **needs: object) -> catalog.Stack:
    """Return the toy, which runs as a process, with other needs."""
    one = catalog.load(root, "toy")
    return replace(one, x=one.x.model_copy(update={"needs": one.x.needs.model_copy(update=needs)}))


def facts_of(root: Path, host: Host, **changed: Any) -> Facts:  # noqa: ANN401 - facts by their names
    """Return what is known of a machine with an RTX 5090."""
    return Facts(root, host, **{**FACTS, "limits": Limits(shm_bytes=8 << 30), **changed})


def test_a_machine_that_has_all_has_nothing_against_it(repository: Path, host: Host) -> None:
    assert fits_here(needing(repository), facts_of(repository, host, **NONE)).fits

    here = fits_here(needing(repository, vram_gib=30, compute_capability="12.0"), facts_of(repository, host))

    assert (here.stack, here.fits, here.how, here.why_not, here.codes) == ("toy", True, "process", (), ())


@pytest.mark.parametrize(
    ("needs", "facts", "code", "told"),
    [
        ({"memory_gib": 1 << 20}, NONE, "memory", "1.04858e+06 GiB"),
        ({"disk_gib": 1 << 20}, NONE, "disk-space", "too little disk"),
        ({"vram_gib": 8}, NONE, "gpu-none", "an NVIDIA GPU"),
        ({"vram_gib": 48}, {}, "vram-too-small", "48 GiB of GPU memory"),
        ({"vram_gib": 8, "compute_capability": "12.1"}, {}, "compute-capability", "12.1"),
    ],
)
def test_what_lacks_is_said_with_its_code(
    repository: Path, host: Host, *, needs: dict[str, object], facts: dict[str, Any], code: str, told: str
) -> None:
    here = fits_here(needing(repository, **needs), facts_of(repository, host, **facts))

    assert not here.fits
    assert here.codes == (code,)
    assert told in here.why_not[0]


def test_what_passes_is_not_against_it(repository: Path, host: Host) -> None:
    held = card(free_mib=100)

    assert fits_here(needing(repository, vram_gib=24), facts_of(repository, host, gpus=held)).fits


def test_a_stack_that_cannot_be_planned_says_why(repository: Path, host: Host) -> None:
    compose = repository / "compose/toy.yaml"
    text = compose.read_text()
    compose.write_text(text[: text.index("  process:")] + text[text.index("  knobs:") :])

    here = fits_here(catalog.load(repository, "toy"), facts_of(repository, host))

    assert (here.fits, here.how, here.codes) == (False, "", ())
    assert here.why_not


@pytest.mark.parametrize(
    ("needs", "old", "small"),
    [
        ({}, False, False),
        ({"compute_capability": "9.0"}, False, False),  # a number, not a text
        ({"compute_capability": "12.0", "vram_gib": 32}, False, False),  # 31.84 GiB are sold as 32
        ({"compute_capability": "12.1", "vram_gib": 33}, True, True),
    ],
)
def test_a_card_is_held_against_what_a_stack_needs(needs: dict[str, Any], *, old: bool, small: bool) -> None:
    wanted = Needs(memory_gib=1, disk_gib=1, **needs)

    assert (too_old(CARD, wanted), too_small(CARD, wanted)) == (old, small)
    silent = replace(CARD, compute_capability="", total_mib=0)
    assert not too_old(silent, wanted)
    assert not too_small(silent, wanted)
