"""The GPU is really given, shared memory is large enough, and what was fetched is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from blackstack.lint.document import Service, Where, mapping, sequence
from blackstack.lint.engine import engine_of
from blackstack.lint.rule import Fault, Rule
from blackstack.lint.rules.alone import mounts

GROUP = "The GPU, its memory and the caches"
_GPU = "https://docs.docker.com/compose/how-tos/gpu-support/"
_RESERVED: Where = ("deploy", "resources", "reservations", "devices")


def gpu_missing(service: Service) -> Iterator[Fault]:
    """Look for a server that needs a GPU and is given none."""
    engine = engine_of(service)
    needs = mapping(service.document.x.get("needs")) if service.is_server else {}
    wants = needs.get("vram_gib") or needs.get("compute_capability")
    if not service.is_server:
        wants = engine is not None and engine.public and engine.manner.many_processes
    given = _reservations(service) or service.raw.get("gpus") or service.text("runtime") == "nvidia"
    if wants and not given:
        yield Fault(title=f"{service.name} needs a GPU and is given none", at=service.at())


def gpu_capabilities(service: Service) -> Iterator[Fault]:
    """Look for reservations that do not say what the device must be able to do."""
    for where, device in _devices(service):
        wanted = [str(word) for word in sequence(device.get("capabilities"))]
        if "gpu" not in wanted and (where[0] == "deploy" or "capabilities" in device):
            at = service.at(*where, *(["capabilities"] if "capabilities" in device else []))
            yield Fault(title=f"a device of {service.name} has no capabilities: [gpu]", at=at)


def gpu_count_and_ids(service: Service) -> Iterator[Fault]:
    """Look for reservations that count devices and name them too."""
    for where, device in _devices(service):
        if "count" in device and "device_ids" in device:
            title = f"{service.name} reserves devices both by number and by name"
            yield Fault(title=title, at=service.at(*where, "device_ids"))


def gpu_value(service: Service) -> Iterator[Fault]:
    """Look for values of a reservation that Compose refuses."""
    for where, device in _devices(service):
        count = service.document.text(device.get("count"))
        if count and count != "all" and not (count.isdecimal() and int(count) > 0) and count != "-1":
            yield Fault(
                title=f"{count!r} is no number of GPUs", at=service.at(*where, "count"), shown=f"count: {count}"
            )
        ids = device.get("device_ids")
        if ids is not None and not isinstance(ids, list):
            yield Fault(title="device_ids is no list", at=service.at(*where, "device_ids"), shown=str(ids))
    gpus = service.raw.get("gpus")
    if gpus is not None and not isinstance(gpus, list) and service.text("gpus") != "all":
        yield Fault(title=f"`gpus: {gpus}` is neither `all` nor a list", at=service.at("gpus"), shown=str(gpus))


def gpu_wrong_place(service: Service) -> Iterator[Fault]:
    """Look for devices where Compose does not look for them, and for two ways at once."""
    resources = mapping(mapping(service.raw.get("deploy")).get("resources"))
    if "devices" in mapping(resources.get("limits")):
        at = service.at("deploy", "resources", "limits", "devices")
        yield Fault(title=f"{service.name} asks for devices under `limits`", at=at)
    if "devices" in resources:
        at = service.at("deploy", "resources", "devices")
        yield Fault(title=f"{service.name} asks for devices under `resources`", at=at)
    if service.raw.get("gpus") and _reservations(service):
        yield Fault(title=f"{service.name} asks for its GPU in two ways", at=service.at("gpus"))


def shared_memory(service: Service) -> Iterator[Fault]:
    """Look for engines of several processes with Docker's 64 MB."""
    engine = engine_of(service)
    if engine is None or not engine.manner.many_processes:
        return
    if not service.text("shm_size") and service.text("ipc") not in {"host", "shareable"}:
        yield Fault(title=f"{service.name} has 64 MB of shared memory", at=service.at("shm_size"))


def cache_lost(service: Service) -> Iterator[Fault]:
    """Look for engines whose weights and kernels go with the container."""
    engine = engine_of(service)
    if engine is None or not engine.manner.caches:
        return
    if not any(source for _, source, _ in mounts(service)):
        yield Fault(title=f"{service.name} keeps nothing that it fetched or compiled", at=service.at("volumes"))


def _reservations(service: Service) -> list[Mapping[str, Any]]:
    data: Any = service.raw
    for part in _RESERVED:
        data = mapping(data).get(str(part))
    return [mapping(device) for device in sequence(data)]


def _devices(service: Service) -> Iterator[tuple[Where, Mapping[str, Any]]]:
    for place, device in enumerate(_reservations(service)):
        if device.get("driver", "nvidia") == "nvidia":
            yield (*_RESERVED, place), device
    for place, device in enumerate(sequence(service.raw.get("gpus"))):
        yield ("gpus", place), mapping(device)


RULES = (
    Rule(
        code="gpu-missing",
        severity="error",
        group=GROUP,
        about="A server that needs a GPU reserves one.",
        why="the container sees no device, and the engine stops with «Failed to infer device type»",
        fix="deploy: {resources: {reservations: {devices: [{driver: nvidia, count: 1, capabilities: [gpu]}]}}}",
        source=_GPU,
        check=gpu_missing,
    ),
    Rule(
        code="gpu-capabilities",
        severity="error",
        group=GROUP,
        about="A device that is reserved has `capabilities: [gpu]`.",
        why="Compose refuses the file without them",
        fix="capabilities: [gpu]",
        source="https://github.com/docker/docs/issues/12315",
        check=gpu_capabilities,
    ),
    Rule(
        code="gpu-count-and-ids",
        severity="error",
        group=GROUP,
        about="A reservation has `count` or `device_ids`, not both.",
        why="the two exclude each other, and the engine refuses the container",
        fix="leave one of the two out",
        source="https://github.com/docker/docs/issues/12315",
        check=gpu_count_and_ids,
    ),
    Rule(
        code="gpu-value",
        severity="error",
        group=GROUP,
        about="`count` is a number or `all`, `device_ids` a list, `gpus` a list or `all`.",
        why="Compose refuses the file",
        fix='count: 1, or device_ids: ["0"]',
        source=_GPU,
        check=gpu_value,
    ),
    Rule(
        code="gpu-wrong-place",
        severity="error",
        group=GROUP,
        about="Devices stand under `deploy.resources.reservations`, or under `gpus`, in one of the two.",
        why="elsewhere Compose refuses them or does not look",
        fix="deploy: {resources: {reservations: {devices: […]}}}",
        source=_GPU,
        check=gpu_wrong_place,
    ),
    Rule(
        code="shm-missing",
        severity="error",
        group=GROUP,
        about="Engines of several processes have `shm_size`, or `ipc: host`.",
        why="they hand tensors to one another through shared memory, and Docker gives 64 MB",
        fix="shm_size: 8gb",
        source="https://docs.vllm.ai/en/stable/deployment/docker.html",
        check=shared_memory,
    ),
    Rule(
        code="cache-lost",
        severity="error",
        group=GROUP,
        about="Weights and compiled kernels are on a volume.",
        why="every new container fetches gigabytes again and compiles for minutes",
        fix="volumes: [cache:/cache], and `cache:` under `volumes:` of the file",
        source="https://docs.vllm.ai/en/stable/deployment/docker.html",
        check=cache_lost,
    ),
)
