"""Every check, in the order of running; a check is a function from a case to a finding, or nothing."""

from __future__ import annotations

from blackstack.doctor.case import Case, Check
from blackstack.doctor.checks import container, cuda, engine, gpu, network, room, setup

_NO_GPU = (
    *("gpu-none", "gpu-driver-missing", "gpu-driver-not-loaded", "gpu-driver-mismatch", "gpu-permission"),
    *("gpu-needs-open-module", "gpu-not-found", "gpu-unknown-state", "gpu-hidden"),
)
_REGISTRY = ("image-missing", "image-private", "registry-unreachable", "certificate")


def has_card(case: Case) -> bool:
    """There is a card to look at."""
    return case.has_card


def gpu_in_docker(case: Case) -> bool:
    """A container would want it."""
    return case.gpu_in_docker


def wants_or_has_gpu(case: Case) -> bool:
    """Somebody needs a GPU, or a card is on the bus, whether it works or not."""
    driver = case.facts.driver if case.plan is None else None
    return case.wants_gpu or bool(driver and (driver.pci or driver.loaded or case.facts.gpus.cards))


def in_docker(case: Case) -> bool:
    """The plan is for Docker."""
    return case.in_docker


def not_in_docker(case: Case) -> bool:
    """The server would live under this process's own limits."""
    return not case.in_docker


def has_engine(case: Case) -> bool:
    """A Docker engine answers."""
    return case.host.engine is not None


def pulls(case: Case) -> bool:
    """An image is to be fetched from a registry."""
    return bool(case.plan and case.plan.steps_of("pull"))


CHECKS: tuple[Check, ...] = (
    Check(title="Docker engine", codes=("docker-unusable",), run=engine.check_engine, of="machine"),
    Check(
        title="engine version",
        codes=("engine-old",),
        run=engine.check_engine_version,
        of="machine",
        when=has_engine,
        before_up=True,
    ),
    Check(
        title="compose",
        codes=("compose-missing", "compose-old"),
        run=engine.check_compose,
        of="machine",
        when=has_engine,
        before_up=True,
    ),
    Check(
        title="engine is here", codes=("engine-elsewhere",), run=engine.check_engine_here, of="machine", when=has_engine
    ),
    Check(
        title="address",
        codes=("address-not-for-docker",),
        run=setup.check_bind_address,
        of="plan",
        when=in_docker,
        before_up=True,
    ),
    Check(
        title="port",
        codes=("port-taken", "address-unusable"),
        run=setup.check_port,
        of="plan",
        before_up=True,
    ),
    Check(title="writing", codes=("not-writable",), run=room.check_writable, of="machine", before_up=True),
    Check(title="GPU", codes=_NO_GPU, run=gpu.check_gpu, of="machine", when=wants_or_has_gpu, before_up=True),
    Check(
        title="compute capability",
        codes=("compute-capability",),
        run=gpu.check_compute_capability,
        of="plan",
        when=has_card,
        before_up=True,
    ),
    Check(title="driver", codes=("driver-too-old",), run=cuda.check_driver, of="plan", when=has_card, before_up=True),
    Check(
        title="driver and the image's CUDA",
        codes=("image-without-gpu-code", "driver-too-old", "driver-older-than-image", "image-not-checked"),
        run=cuda.check_image,
        of="plan",
        when=has_card,
        before_up=True,
    ),
    Check(
        title="GPU memory",
        codes=("vram-too-small", "vram-held"),
        run=gpu.check_vram,
        of="plan",
        when=has_card,
        before_up=True,
    ),
    Check(
        title="room for the model",
        codes=("model-does-not-fit",),
        run=gpu.check_fit,
        of="plan",
        when=has_card,
        before_up=True,
    ),
    Check(
        title="container toolkit",
        codes=("toolkit-missing", "toolkit-not-configured"),
        run=container.check_toolkit,
        of="machine",
        when=gpu_in_docker,
        before_up=True,
    ),
    Check(title="CDI", codes=("cdi-stale",), run=container.check_cdi, of="machine", when=gpu_in_docker, before_up=True),
    Check(
        title="SELinux",
        codes=("selinux-devices",),
        run=container.check_selinux,
        of="machine",
        when=gpu_in_docker,
        before_up=True,
    ),
    Check(
        title="rootless engine", codes=("rootless-gpu",), run=container.check_rootless, of="machine", when=gpu_in_docker
    ),
    Check(
        title="image in its registry",
        codes=_REGISTRY,
        run=network.check_registry,
        of="plan",
        when=pulls,
        before_up=True,
    ),
    Check(
        title="disk",
        codes=("disk-space",),
        run=room.check_disk,
        of="plan",
        when=lambda case: case.fetches,
        before_up=True,
    ),
    Check(title="memory", codes=("memory",), run=room.check_memory, of="plan", before_up=True),
    Check(title="free memory", codes=("memory-busy",), run=room.check_memory_free, of="plan", before_up=True),
    Check(
        title="shared memory", codes=("shm-small",), run=room.check_shm, of="plan", when=not_in_docker, before_up=True
    ),
    Check(title="threads", codes=("pids",), run=room.check_pids, of="machine", when=not_in_docker),
    Check(title="open files", codes=("open-files",), run=room.check_open_files, of="machine", when=not_in_docker),
    Check(title="hub token", codes=("hub-token",), run=network.check_token, of="plan", before_up=True),
    Check(
        title="engine's proxy",
        codes=("engine-without-proxy",),
        run=network.check_engine_proxy,
        of="machine",
        when=has_engine,
    ),
    Check(title="loopback", codes=("proxy-catches-loopback",), run=network.check_loopback, of="machine"),
    Check(title="CA bundles", codes=("ca-bundle-missing",), run=network.check_certificates, of="machine"),
    Check(title="clock", codes=("clock", "clock-not-kept"), run=network.check_clock, of="machine"),
    Check(
        title="toolkit version",
        codes=("toolkit-unsafe",),
        run=container.check_toolkit_version,
        of="machine",
        when=gpu_in_docker,
    ),
    Check(
        title="daemon-reload",
        codes=("gpu-lost-on-reload",),
        run=container.check_reload,
        of="machine",
        when=gpu_in_docker,
    ),
    Check(
        title="WSL2",
        codes=("wsl", "wsl-pinned-memory"),
        run=gpu.check_wsl,
        of="machine",
        when=lambda case: case.gpu_matters and case.facts.driver.wsl,
    ),
    Check(title="MIG", codes=("gpu-mig",), run=gpu.check_mig, of="machine", when=has_card),
    Check(title="screen", codes=("gpu-display",), run=gpu.check_display, of="machine", when=has_card),
    Check(title="power limit", codes=("gpu-power",), run=gpu.check_power, of="machine", when=has_card),
    Check(title="persistence", codes=("gpu-persistence",), run=gpu.check_persistence, of="machine", when=has_card),
    Check(title="PCIe lanes", codes=("gpu-pcie",), run=gpu.check_pcie, of="machine", when=has_card),
    Check(title="known slow drivers", codes=("driver-slow",), run=gpu.check_slow_driver, of="machine", when=has_card),
    Check(
        title="build knobs",
        codes=("build-knob-without-build",),
        run=setup.check_build_knobs,
        of="plan",
        when=lambda case: bool(case.plan and case.plan.stack.x.build),
        before_up=True,
    ),
    Check(
        title="unfinished changes",
        codes=("change-unfinished",),
        run=setup.check_unfinished_change,
        of="plan",
        before_up=True,
    ),
    Check(
        title="earlier containers",
        codes=("earlier-containers", "started-elsewhere"),
        run=setup.check_remains,
        of="plan",
        when=in_docker,
    ),
)
