"""A machine with an RTX 5090, a stack for it, and a way to change one thing about either."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from blackstack import catalog, plan
from blackstack.doctor import Case
from blackstack.facts import Facts, ports
from blackstack.facts.containers import CdiSpec, EngineFacts, Toolkit
from blackstack.facts.driver import Driver, PciGpu
from blackstack.facts.gpu import Gpu, Gpus
from blackstack.facts.image import ImageFacts
from blackstack.facts.limits import Limits
from blackstack.facts.network import Network
from blackstack.facts.places import Places
from blackstack.finding import Finding
from blackstack.host import Engine, Host
from blackstack.plan import Wishes

IMAGE = "vllm/vllm-openai:v0.29.0"
COMPOSE = """\
name: card
x-stack:
  title: a stack for a card
  engine: vllm
  engine_version: 0.29.0
  model: a-model
  status: not-verified
  evidence: this test
  needs: {memory_gib: 0.1, disk_gib: 20, vram_gib: 24, compute_capability: "12.0", driver: "575"}
  ready_s: 20
  knobs:
    IMAGE: {type: text, about: the image}
    MODEL: {type: text, about: the model}
    BIND_ADDRESS: {type: address, about: where to listen}
    PORT: {type: port, about: where to listen}
    HF_TOKEN: {type: secret, about: the key of the hub}
services:
  server:
    image: ${IMAGE:-vllm/vllm-openai:v0.29.0}
    command: [--model, "${MODEL:-openai/gpt-oss-20b}"]
    environment:
      HF_TOKEN: ${HF_TOKEN:-}
    ports: ["${BIND_ADDRESS:-127.0.0.1}:${PORT:-18171}:8000"]
    shm_size: 1gb
"""

CARD = Gpu(
    index=0,
    name="NVIDIA GeForce RTX 5090",
    compute_capability="12.0",
    total_mib=32607,
    free_mib=32119,
    brand="geforce",
    display=False,
    persistence=True,
    mig=False,
    power_limit_w=575.0,
    power_default_w=575.0,
    pcie_width=16,
    pcie_width_max=16,
)
GPUS = Gpus(source="nvml", driver="580.95.05", cuda="13.0", cards=(CARD,))
ON_THE_BUS = PciGpu(address="0000:01:00.0", device="2b85", driver="nvidia")
FACTS: dict[str, Any] = {
    "gpus": GPUS,
    "driver": Driver(loaded="580.95.05", flavour="open", installed="580.95.05", pci=(ON_THE_BUS,)),
    "engine": EngineFacts(here=True, runtimes=("nvidia", "runc"), cgroup_driver="cgroupfs"),
    "toolkit": Toolkit(version="1.20.1", hook="nvidia-container-runtime-hook"),
    "limits": Limits(open_files=1048576, shm_bytes=8 << 30),
    "places": Places(cache="/cache", cache_free_bytes=1 << 40, token=""),
    "network": Network(proxies={}, direct=(), certificates=(), missing=(), mirrors={}, clock_kept=True),
    "closed": (),
    "_images": {IMAGE: ImageFacts(name=IMAGE, source="engine", cuda="13.0.2", require="cuda>=13.0")},
}

Diagnose = Callable[..., list[Finding]]


def card(**changes: Any) -> Gpus:  # noqa: ANN401
    """Return the GPUs with something else about the card."""
    return replace(GPUS, cards=(replace(CARD, **changes),))


def cdi(driver: str) -> Toolkit:
    """Return a toolkit with a CDI spec for a driver."""
    return Toolkit(version="1.20.1", cdi=(CdiSpec(path="/var/run/cdi/nvidia.yaml", driver=driver),))


@pytest.fixture
def make_case(repository: Path, host: Host, engine: Engine) -> Callable[..., Case]:
    """Make a case of that machine and that stack; facts by their names change, `plan=None` names no stack."""
    (repository / "compose/card.yaml").write_text(COMPOSE)
    (repository / "env/card.env").write_text("")
    stack = catalog.load(repository, "card")

    def make(
        *,
        overrides: tuple[str, ...] = (),
        images: tuple[str, ...] = (IMAGE,),
        named: bool = True,
        about_engine: dict[str, str] | None = None,
        **changed: Any,  # noqa: ANN401
    ) -> Case:
        with_engine = replace(host, engine=replace(engine, images=frozenset(images), **(about_engine or {})))
        wishes = Wishes(runtime="docker", overrides=(f"PORT={ports.next_free('127.0.0.1', 20000)}", *overrides))
        made = plan.make(stack, with_engine, wishes, shell_env={}) if named else None
        facts = Facts(repository, with_engine, **{**FACTS, **changed})
        facts.remains = changed.get("remains", lambda _project: ())  # type: ignore[method-assign]
        return Case(host=with_engine, facts=facts, plan=made)

    return make
