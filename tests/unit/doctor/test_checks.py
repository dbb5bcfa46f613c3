"""Every check says what it is for, and keeps silent on a machine that is well."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, Literal

import pytest

from blackstack import plan
from blackstack.doctor import CHECKS, Case, examine
from blackstack.doctor.checks.room import GIB
from blackstack.doctor.texts import texts
from blackstack.facts.containers import EngineFacts, Remains, Toolkit
from blackstack.facts.driver import Driver
from blackstack.facts.gpu import Gpu, Gpus, Holder
from blackstack.facts.image import ImageFacts
from blackstack.facts.limits import Limits

from .conftest import FACTS, GPUS, IMAGE, ON_THE_BUS, card, cdi

Make = Callable[..., Case]


def image(**changes: Any) -> dict[str, ImageFacts]:  # noqa: ANN401
    """Return what is known of images, with something else about the stack's."""
    return {IMAGE: replace(FACTS["_images"][IMAGE], **changes)}


def codes(case: Case) -> list[str]:
    """Return what the doctor says."""
    return [finding.code for finding in examine(case).findings]


def without_gpu(why: str, **driver: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return the facts of a machine whose GPU does not answer."""
    return {"gpus": Gpus(why_none=why, detail="NVML said so"), "driver": Driver(**driver)}  # type: ignore[arg-type]


def test_a_machine_that_is_well_gets_no_finding_with_a_stack_or_without(make_case: Make) -> None:
    assert codes(make_case()) == []
    assert codes(make_case(named=False)) == []


SICK: list[tuple[str, str, dict[str, Any]]] = [
    ("gpu-none", "error", without_gpu("no-driver")),
    ("gpu-driver-missing", "error", without_gpu("no-driver", pci=(replace(ON_THE_BUS, driver=""),))),
    ("gpu-driver-not-loaded", "error", without_gpu("not-loaded", pci=(ON_THE_BUS,), installed="580.95.05")),
    ("gpu-driver-not-loaded", "error", without_gpu("no-driver", pci=(replace(ON_THE_BUS, driver="nouveau"),))),
    ("gpu-driver-mismatch", "error", without_gpu("mismatch", loaded="570.124.06", pci=(ON_THE_BUS,))),
    ("gpu-permission", "error", without_gpu("permission", loaded="580.95.05", pci=(ON_THE_BUS,))),
    ("gpu-not-found", "error", without_gpu("no-devices", loaded="580.95.05", flavour="open", pci=(ON_THE_BUS,))),
    ("gpu-unknown-state", "error", without_gpu("unknown", loaded="580.95.05", pci=(ON_THE_BUS,))),
    (
        "gpu-needs-open-module",
        "error",
        without_gpu("no-devices", loaded="575.51.03", flavour="proprietary", pci=(ON_THE_BUS,)),
    ),
    ("compute-capability", "error", {"gpus": card(compute_capability="8.9", name="NVIDIA GeForce RTX 4090")}),
    ("vram-too-small", "error", {"gpus": card(total_mib=16303, free_mib=16000)}),
    ("vram-held", "error", {"gpus": card(free_mib=8000, holders=(Holder(pid=7, name="python3", mib=24000),))}),
    ("gpu-display", "info", {"gpus": card(display=True)}),
    ("gpu-mig", "warning", {"gpus": card(mig=True)}),
    ("gpu-power", "info", {"gpus": card(power_limit_w=400.0)}),
    ("gpu-persistence", "info", {"gpus": card(persistence=False)}),
    ("gpu-pcie", "info", {"gpus": card(pcie_width=4)}),
    ("driver-slow", "info", {"gpus": replace(GPUS, driver="580.105.08")}),
    ("wsl-pinned-memory", "warning", {"driver": Driver(wsl=True)}),
    ("wsl", "info", {"driver": Driver(wsl=True), "named": False}),
    ("driver-too-old", "error", {"gpus": replace(GPUS, driver="570.133.20", cuda="12.8"), "_images": image(cuda="")}),
    ("driver-too-old", "error", {"gpus": replace(GPUS, driver="577.00", cuda="12.9")}),
    ("image-without-gpu-code", "error", {"_images": image(cuda="12.6.3", require="cuda>=12.6")}),
    ("image-not-checked", "info", {"_images": image(source="", cuda="", require="", unknown="nobody told")}),
    ("driver-older-than-image", "warning", {"_images": image(cuda="13.1.0", require="")}),
    ("toolkit-missing", "error", {"engine": EngineFacts(here=True, runtimes=("runc",)), "toolkit": Toolkit()}),
    ("toolkit-not-configured", "warning", {"engine": EngineFacts(here=True, runtimes=("runc",))}),
    ("toolkit-unsafe", "warning", {"toolkit": Toolkit(version="1.17.7")}),
    (
        "cdi-stale",
        "error",
        {"engine": EngineFacts(here=True, runtimes=("runc",), cdi_folders=("/etc/cdi",)), "toolkit": cdi("570.86.15")},
    ),
    ("cdi-stale", "warning", {"toolkit": cdi("570.86.15")}),
    (
        "selinux-devices",
        "warning",
        {"toolkit": Toolkit(version="1.20.1", selinux="enforcing", selinux_devices=False)},
    ),
    ("rootless-gpu", "warning", {"engine": replace(FACTS["engine"], rootless=True)}),
    ("gpu-lost-on-reload", "info", {"engine": replace(FACTS["engine"], cgroup_driver="systemd")}),
    ("engine-old", "error", {"about_engine": {"version": "24.0.7"}}),
    ("compose-old", "error", {"about_engine": {"compose": "v2.17.3"}}),
    ("compose-missing", "error", {"about_engine": {"compose": ""}}),
    ("engine-elsewhere", "info", {"engine": EngineFacts(here=False, runtimes=("nvidia",))}),
    ("not-writable", "error", {"closed": (".blackstack",)}),
    ("proxy-catches-loopback", "warning", {"network": replace(FACTS["network"], proxies={"http": "http://p:1"})}),
    ("ca-bundle-missing", "warning", {"network": replace(FACTS["network"], missing=("SSL_CERT_FILE=/no",))}),
    ("clock-not-kept", "info", {"network": replace(FACTS["network"], clock_kept=False)}),
    ("hub-token", "warning", {"overrides": ("MODEL=meta-llama/Llama-3.1-8B-Instruct",)}),
    ("earlier-containers", "info", {"remains": lambda _: (Remains(name="a", state="Exited (139)", folder=""),)}),
    ("started-elsewhere", "warning", {"remains": lambda _: (Remains(name="a", state="Exited", folder="/else"),)}),
]


@pytest.mark.parametrize(("code", "severity", "changed"), SICK, ids=lambda value: value if type(value) is str else "")
def test_what_is_wrong_is_said_alone_with_what_mends_it(
    make_case: Make, code: str, severity: str, changed: dict[str, Any]
) -> None:
    found = examine(make_case(**changed)).findings

    assert [(finding.code, finding.severity) for finding in found] == [(code, severity)]
    assert found[0].fix
    assert found[0].verify
    assert "{" not in found[0].title + found[0].cause + " ".join(found[0].fix), "a place was not filled"


def test_the_oldest_cuda_that_knows_the_card_is_new_enough_for_it(make_case: Make) -> None:
    oldest = image(cuda="12.8.1", require="cuda>=12.8 brand=tesla,driver>=535,driver<536")

    assert codes(make_case(_images=oldest)) == []


PULLED: list[tuple[str, str, dict[str, Any]]] = [
    ("image-missing", "error", image(source="", cuda="", unknown="no such tag", problem="missing")),
    ("image-private", "warning", image(source="", cuda="", unknown="a login", problem="private")),
    ("registry-unreachable", "warning", image(source="", cuda="", unknown="no name", problem="dns")),
    ("certificate", "warning", image(source="", cuda="", unknown="self-signed", problem="certificate")),
    ("clock", "warning", image(source="registry", clock_off_s=7200.0)),
]


@pytest.mark.parametrize(("code", "severity", "told"), PULLED, ids=[row[0] for row in PULLED])
def test_before_a_pull_the_registry_is_held_against_the_wish(
    make_case: Make, code: str, severity: str, told: dict[str, ImageFacts]
) -> None:
    case = make_case(images=(), _images=told)

    found = {finding.code: finding for finding in examine(case).findings if finding.code != "image-not-checked"}

    assert [(code, finding.severity) for code, finding in found.items()] == [(code, severity)]


def test_the_engine_that_pulls_without_the_proxy_is_said(make_case: Make) -> None:
    behind = replace(FACTS["network"], proxies={"https": "http://proxy.example:3128"}, direct=("localhost",))

    assert codes(make_case(images=(), network=behind)) == ["engine-without-proxy"]
    assert codes(make_case(images=(), network=behind, engine=replace(FACTS["engine"], proxied=True))) == []


def test_the_disk_that_fills_up_is_the_engines(make_case: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("blackstack.facts.places.free", lambda _path: 5 * GIB)

    (found,) = examine(make_case(images=(), engine=replace(FACTS["engine"], data_root="/docker"))).findings

    assert found.code == "disk-space"
    assert found.evidence == ("free: 5.0 GiB (/docker)",)
    assert codes(make_case()) == []  # the image is here: nothing fills up


def test_a_gpu_stack_without_docker_is_no_business_of_the_toolkit(make_case: Make) -> None:
    case = make_case(toolkit=Toolkit(), engine=EngineFacts(here=True))
    assert case.plan is not None

    assert codes(Case(host=case.host, facts=case.facts, plan=replace(case.plan, runtime="process"))) == []


def test_a_process_lives_under_its_own_limits(make_case: Make) -> None:
    tight = Limits(cgroup_version=2, cgroup_memory_bytes=1 << 20, cgroup_pids=100, open_files=1024, shm_bytes=64 << 20)
    case = make_case(limits=tight)
    assert case.plan is not None
    assert codes(case) == []  # a container gets others

    as_process = Case(host=case.host, facts=case.facts, plan=replace(case.plan, runtime="process"))

    assert codes(as_process) == ["memory", "shm-small", "pids", "open-files"]


def test_the_card_that_fits_best_is_held_against_the_stack(make_case: Make) -> None:
    old = replace(GPUS.cards[0], index=1, compute_capability="8.9", free_mib=48000, total_mib=49140)

    assert codes(make_case(gpus=replace(GPUS, cards=(old, *GPUS.cards)))) == []


@pytest.mark.parametrize(
    ("gpu", "said"),
    [
        ("0", ["vram-held"]),
        ("1", []),
        ("GPU-aaaa-0", ["vram-held"]),
        ("GPU-bbbb", []),
        ("all", []),
        ("7", []),
    ],
)
def test_the_card_that_the_stack_names_is_examined_not_the_freest(make_case: Make, gpu: str, said: list[str]) -> None:
    held = replace(GPUS.cards[0], uuid="GPU-aaaa-0", free_mib=1000)
    free = replace(GPUS.cards[0], uuid="GPU-bbbb-1", index=1)
    case = make_case(gpus=replace(GPUS, cards=(held, free)))
    assert case.plan is not None
    settings = {**case.plan.settings, "GPU": replace(case.plan.settings["MODEL"], value=gpu)}
    case = replace(case, plan=replace(case.plan, settings=settings))

    assert codes(case) == said
    assert case.card == {"0": held, "GPU-aaaa-0": held, "7": None}.get(gpu, free)


@pytest.mark.parametrize(
    ("visible", "said"),
    [(None, ["vram-held"]), ("1", []), ("1,0", []), ("GPU-bbbb", []), ("0", ["vram-held"]), ("7,1", ["gpu-hidden"])],
)
def test_without_docker_the_card_that_cuda_shows_first_is_examined(
    make_case: Make, visible: str | None, said: list[str]
) -> None:
    held = replace(GPUS.cards[0], uuid="GPU-aaaa-0", free_mib=1000)
    free = replace(GPUS.cards[0], uuid="GPU-bbbb-1", index=1)
    case = make_case(gpus=replace(GPUS, cards=(held, free), visible=visible))
    assert case.plan is not None

    assert codes(replace(case, plan=replace(case.plan, runtime="process"))) == said
    assert codes(case) == []  # a container gets its card from the compose file


def test_where_another_card_is_free_the_way_to_it_is_told_first(make_case: Make) -> None:
    held = replace(GPUS.cards[0], uuid="GPU-aaaa-0", free_mib=1000)
    free = replace(GPUS.cards[0], uuid="GPU-bbbb-1", index=1)
    old = replace(free, uuid="GPU-cccc-2", index=2, compute_capability="8.6")

    def advice(*cards: Gpu, runtime: Literal["docker", "process"]) -> str:
        case = make_case(gpus=replace(GPUS, cards=cards))
        assert case.plan is not None
        settings = {**case.plan.settings, "GPU": replace(case.plan.settings["MODEL"], value="0")}
        made = replace(case.plan, settings=settings, runtime=runtime)
        (finding,) = examine(replace(case, plan=made)).findings
        return finding.fix[0]

    assert "export CUDA_VISIBLE_DEVICES=GPU-bbbb-1" in advice(held, free, runtime="process")
    assert "--set GPU=1" in advice(held, free, runtime="docker")
    assert advice(held, old, runtime="process") == advice(held, runtime="process") == "stop what holds it: nvidia-smi"


def test_a_card_of_32_gb_by_name_is_one_although_it_has_a_little_less(make_case: Make) -> None:
    case = make_case()
    assert case.plan is not None
    needs = case.plan.stack.x.needs.model_copy(update={"vram_gib": 32})
    x = case.plan.stack.x.model_copy(update={"needs": needs})
    stack = replace(case.plan.stack, x=x)

    assert codes(Case(host=case.host, facts=case.facts, plan=replace(case.plan, stack=stack))) == []


def test_a_model_that_cannot_fit_the_card_is_refused(make_case: Make) -> None:
    case = make_case()
    assert case.plan is not None
    again = plan.make(
        case.plan.stack, case.host, replace(case.plan.wishes, overrides=("MODEL=Qwen/Qwen3-32B",)), shell_env={}
    )

    (finding,) = examine(replace(case, plan=again)).findings

    assert (finding.code, finding.severity) == ("model-does-not-fit", "error")


def test_every_text_is_a_check_s_and_every_check_has_its_texts() -> None:
    assert {code for check in CHECKS for code in check.codes} == set(texts())


def test_every_code_but_those_of_this_machine_is_provoked_here() -> None:
    elsewhere = {  # in test_start.py, in this file's other tests, or by hand
        *("port-taken", "address-unusable", "address-not-for-docker", "build-knob-without-build", "docker-unusable"),
        *("disk-space", "memory", "memory-busy", "shm-small", "pids", "open-files", "engine-without-proxy"),
        *("change-unfinished", "model-does-not-fit", "gpu-hidden"),
    }

    assert {row[0] for row in (*SICK, *PULLED)} | elsewhere == set(texts())
