"""Every check, in the order of running; a check is a function from a case to a finding, or nothing."""

from __future__ import annotations

from blackstack.doctor.case import Check
from blackstack.doctor.checks import container, cuda, engine, gpu, network, room, setup

_NO_GPU = (
    *("gpu-none", "gpu-driver-missing", "gpu-driver-not-loaded", "gpu-driver-mismatch", "gpu-permission"),
    *("gpu-needs-open-module", "gpu-not-found", "gpu-unknown-state"),
)
_REGISTRY = ("image-missing", "image-private", "registry-unreachable", "certificate")

CHECKS: tuple[Check, ...] = (
    Check(title="Docker engine", codes=("docker-unusable",), run=engine.check_engine, of="machine"),
    Check(
        title="engine version",
        codes=("engine-old",),
        run=engine.check_engine_version,
        of="machine",
        before_up=True,
    ),
    Check(
        title="compose",
        codes=("compose-missing", "compose-old"),
        run=engine.check_compose,
        of="machine",
        before_up=True,
    ),
    Check(title="engine is here", codes=("engine-elsewhere",), run=engine.check_engine_here, of="machine"),
    Check(
        title="address",
        codes=("address-not-for-docker",),
        run=setup.check_bind_address,
        of="plan",
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
    Check(title="GPU", codes=_NO_GPU, run=gpu.check_gpu, of="machine", before_up=True),
    Check(
        title="compute capability",
        codes=("compute-capability",),
        run=gpu.check_compute_capability,
        of="plan",
        before_up=True,
    ),
    Check(title="driver", codes=("driver-too-old",), run=cuda.check_driver, of="plan", before_up=True),
    Check(
        title="driver and the image's CUDA",
        codes=("image-without-gpu-code", "driver-too-old", "driver-older-than-image", "image-not-checked"),
        run=cuda.check_image,
        of="plan",
        before_up=True,
    ),
    Check(
        title="GPU memory",
        codes=("vram-too-small", "vram-held"),
        run=gpu.check_vram,
        of="plan",
        before_up=True,
    ),
    Check(
        title="container toolkit",
        codes=("toolkit-missing", "toolkit-not-configured"),
        run=container.check_toolkit,
        of="machine",
        before_up=True,
    ),
    Check(title="CDI", codes=("cdi-stale",), run=container.check_cdi, of="machine", before_up=True),
    Check(title="SELinux", codes=("selinux-devices",), run=container.check_selinux, of="machine", before_up=True),
    Check(title="rootless engine", codes=("rootless-gpu",), run=container.check_rootless, of="machine"),
    Check(title="image in its registry", codes=_REGISTRY, run=network.check_registry, of="plan", before_up=True),
    Check(title="disk", codes=("disk-space",), run=room.check_disk, of="plan", before_up=True),
    Check(title="memory", codes=("memory",), run=room.check_memory, of="plan", before_up=True),
    Check(title="free memory", codes=("memory-busy",), run=room.check_memory_free, of="plan", before_up=True),
    Check(title="shared memory", codes=("shm-small",), run=room.check_shm, of="plan", before_up=True),
    Check(title="threads", codes=("pids",), run=room.check_pids, of="machine"),
    Check(title="open files", codes=("open-files",), run=room.check_open_files, of="machine"),
    Check(title="hub token", codes=("hub-token",), run=network.check_token, of="plan", before_up=True),
    Check(title="engine's proxy", codes=("engine-without-proxy",), run=network.check_engine_proxy, of="machine"),
    Check(title="loopback", codes=("proxy-catches-loopback",), run=network.check_loopback, of="machine"),
    Check(title="CA bundles", codes=("ca-bundle-missing",), run=network.check_certificates, of="machine"),
    Check(title="clock", codes=("clock", "clock-not-kept"), run=network.check_clock, of="machine"),
    Check(title="toolkit version", codes=("toolkit-unsafe",), run=container.check_toolkit_version, of="machine"),
    Check(title="daemon-reload", codes=("gpu-lost-on-reload",), run=container.check_reload, of="machine"),
    Check(title="WSL2", codes=("wsl", "wsl-pinned-memory"), run=gpu.check_wsl, of="machine"),
    Check(title="MIG", codes=("gpu-mig",), run=gpu.check_mig, of="machine"),
    Check(title="screen", codes=("gpu-display",), run=gpu.check_display, of="machine"),
    Check(title="power limit", codes=("gpu-power",), run=gpu.check_power, of="machine"),
    Check(title="persistence", codes=("gpu-persistence",), run=gpu.check_persistence, of="machine"),
    Check(title="PCIe lanes", codes=("gpu-pcie",), run=gpu.check_pcie, of="machine"),
    Check(title="known slow drivers", codes=("driver-slow",), run=gpu.check_slow_driver, of="machine"),
    Check(
        title="build knobs",
        codes=("build-knob-without-build",),
        run=setup.check_build_knobs,
        of="plan",
        before_up=True,
    ),
    Check(
        title="earlier containers",
        codes=("earlier-containers", "started-elsewhere"),
        run=setup.check_remains,
        of="plan",
    ),
)
