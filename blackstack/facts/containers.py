"""What stands between a container and a GPU: the engine's own words, CDI specs, the toolkit, SELinux."""

from __future__ import annotations

import contextlib
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from blackstack import host, shell

_PATIENCE_S = 5.0
_TOOLKIT = re.compile(r"version\s+v?(\d+\.\d+\.\d+)")
_LIBCUDA = re.compile(r"libcuda\.so\.(\d+\.\d+(?:\.\d+)?)")  # a CDI spec names each library with its version
_GPU_KIND = re.compile(r"""["']?kind["']?:\s*["']?nvidia\.com/gpu\b""")
_CDI_FOLDERS = ("/etc/cdi", "/var/run/cdi")  # https://github.com/cncf-tags/container-device-interface/blob/main/SPEC.md
_HOOKS = ("nvidia-container-runtime-hook", "nvidia-container-runtime")


@dataclass(frozen=True, kw_only=True)
class EngineFacts:
    """What the engine says of itself (`docker info`).

    Attributes:
        here: whether it runs on this machine; of another one's disk and GPUs we see nothing.
        runtimes: those registered; ``nvidia`` among them is one way to a GPU.
        cdi_folders: where it looks for CDI specs; none: CDI is off.
        data_root: where it keeps images.
        rootless: whether it runs without root.
        selinux: whether it labels its containers.
        cgroup_version, cgroup_driver: as ``2`` and ``systemd``.
        proxied: whether it pulls through a proxy; ``mirrors`` it asks first.
    """

    here: bool
    runtimes: tuple[str, ...] = ()
    cdi_folders: tuple[str, ...] = ()
    data_root: str = ""
    rootless: bool = False
    selinux: bool = False
    cgroup_version: str = ""
    cgroup_driver: str = ""
    proxied: bool = False
    mirrors: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class CdiSpec:
    """A file that describes NVIDIA's devices for any engine; ``driver`` is the one it was generated for."""

    path: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class Toolkit:
    """NVIDIA's container toolkit on this machine.

    Attributes:
        version: what ``nvidia-ctk`` says, or empty.
        hook: the program that an engine calls to put a GPU into a container, where one is on PATH.
        cdi: the CDI specs for NVIDIA's GPUs.
        selinux: ``enforcing``, ``permissive``, or empty where there is no SELinux.
        selinux_devices: whether SELinux lets containers use devices; None where nobody says.
    """

    version: str = ""
    hook: str = ""
    cdi: tuple[CdiSpec, ...] = ()
    selinux: str = ""
    selinux_devices: bool | None = None


@dataclass(frozen=True, kw_only=True)
class Remains:
    """A container that an earlier start left: its name, state, and the folder it was started from."""

    name: str
    state: str
    folder: str


def look_at_engine(address: str) -> EngineFacts:
    """Ask the engine; the caller knows that one answers."""
    with _engine_answers():
        return read_info(host.client().info(), address)


def read_info(info: Mapping[str, Any], address: str) -> EngineFacts:
    """Return the facts of a ``docker info``, as its API gives them."""
    options = [str(option) for option in info.get("SecurityOptions") or ()]
    mirrors = (info.get("RegistryConfig") or {}).get("Mirrors") or ()
    return EngineFacts(
        here=urlsplit(address).scheme == "unix",
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        cdi_folders=tuple(info.get("CDISpecDirs") or ()),
        data_root=str(info.get("DockerRootDir") or ""),
        rootless=any("name=rootless" in option for option in options),
        selinux=any("name=selinux" in option for option in options),
        cgroup_version=str(info.get("CgroupVersion") or ""),
        cgroup_driver=str(info.get("CgroupDriver") or ""),
        proxied=bool(info.get("HttpProxy") or info.get("HttpsProxy")),
        mirrors=tuple(map(str, mirrors)),
    )


def look_at_toolkit(folders: Sequence[str] = ()) -> Toolkit:
    """Look for the toolkit on this machine; ``folders`` are the engine's own for CDI specs."""
    version = ""
    if shutil.which("nvidia-ctk"):
        version = read_toolkit_version(shell.capture(["nvidia-ctk", "--version"], timeout=_PATIENCE_S).out)
    places = [Path(folder) for folder in dict.fromkeys((*_CDI_FOLDERS, *folders))]
    files = sorted(path for place in places for path in place.glob("*") if path.suffix in {".yaml", ".json"})
    enforce = _read(Path("/sys/fs/selinux/enforce")).strip()
    boolean = _read(Path("/sys/fs/selinux/booleans/container_use_devices")).split()  # «now pending», as «0 0»
    return Toolkit(
        version=version,
        hook=next((program for program in _HOOKS if shutil.which(program)), ""),
        cdi=tuple(spec for path in files if (spec := read_cdi(str(path), _read(path)))),
        selinux={"1": "enforcing", "0": "permissive"}.get(enforce, ""),
        selinux_devices=boolean[0] == "1" if boolean else None,
    )


def read_toolkit_version(text: str) -> str:
    """Return the version from ``nvidia-ctk --version``: «NVIDIA Container Toolkit CLI version 1.19.1»."""
    found = _TOOLKIT.search(text)
    return found[1] if found else ""


def read_cdi(path: str, text: str) -> CdiSpec | None:
    """Return what a CDI spec says of NVIDIA's GPUs, or nothing where it is about something else."""
    if not _GPU_KIND.search(text):
        return None
    driver = _LIBCUDA.search(text)
    return CdiSpec(path=path, driver=driver[1] if driver else "")


def look_for_remains(project: str) -> tuple[Remains, ...]:
    """Return the containers of a compose project that do not run."""
    filters = {"label": f"com.docker.compose.project={project}", "status": ["created", "exited", "dead"]}
    with _engine_answers():
        found = host.client().api.containers(all=True, filters=filters)
    return tuple(
        Remains(
            name=str(one["Names"][0]).lstrip("/"),
            state=str(one.get("Status", "")),
            folder=str((one.get("Labels") or {}).get("com.docker.compose.project.working_dir", "")),
        )
        for one in found
    )


@contextlib.contextmanager
def _engine_answers() -> Iterator[None]:
    """Say it in our words when an engine that answered a moment ago does not any more.

    Raises:
        BlockedError: it does not.
    """
    from docker.errors import DockerException  # noqa: PLC0415 - loaded by then, and slow

    try:
        yield
    except (DockerException, OSError) as error:  # what its HTTP library raises is an OSError
        raise host.no_engine(str(error)) from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
