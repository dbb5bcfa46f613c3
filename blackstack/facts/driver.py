"""The NVIDIA driver underneath: the kernel module, what the PCI bus shows, Secure Boot, WSL2. Read, never loaded."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from blackstack import shell

Flavour = Literal["open", "proprietary", ""]
_PATIENCE_S = 5.0
# «… Open Kernel Module for x86_64  580.65.06  Release Build …» and «… x86_64 Kernel Module  570.133.07  …»
_NVRM = re.compile(r"NVRM version: NVIDIA UNIX (Open )?.*?Kernel Module(?: for \S+)?\s+([\d.]+)")
_NVIDIA, _DISPLAY_CLASS = "0x10de", "0x03"
_SECURE_BOOT = "sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"


@dataclass(frozen=True, kw_only=True)
class PciGpu:
    """An NVIDIA card on the bus, whether or not its driver works: address, device id, the driver that has it."""

    address: str
    device: str
    driver: str


@dataclass(frozen=True, kw_only=True)
class Driver:
    """The driver's part in the kernel.

    Attributes:
        loaded: version of the module that is loaded, or empty.
        flavour: of the loaded module, or where none is, of the installed one.
        installed: version of the module on disk, or empty.
        pci: the NVIDIA cards on the bus.
        secure_boot: whether the firmware lets the kernel load signed modules only; None where it does not say.
        wsl: whether this is WSL2, where the driver is Windows'.
    """

    loaded: str = ""
    flavour: Flavour = ""
    installed: str = ""
    pci: tuple[PciGpu, ...] = ()
    secure_boot: bool | None = None
    wsl: bool = False


def look(root: Path = Path("/")) -> Driver:
    """Look at the driver; ``root`` is the file system, another one for tests."""
    loaded, flavour = read_nvrm(_read(root / "proc/driver/nvidia/version"))
    installed = ""
    license_flavour: Flavour = ""
    if root == Path("/") and shutil.which("modinfo"):
        installed, license_flavour = read_modinfo(shell.capture(["modinfo", "nvidia"], timeout=_PATIENCE_S).out)
    return Driver(
        loaded=loaded,
        flavour=flavour or license_flavour,
        installed=installed,
        pci=tuple(_on_the_bus(root / "sys/bus/pci/devices")),
        secure_boot=_secure_boot(root / _SECURE_BOOT),
        wsl=is_wsl(_read(root / "proc/version")),
    )


def read_nvrm(text: str) -> tuple[str, Flavour]:
    """Return version and flavour from ``/proc/driver/nvidia/version``.

    Source: https://us.download.nvidia.com/XFree86/Linux-x86_64/515.43.04/README/kernel_open.html
    """
    found = _NVRM.search(text)
    if not found:
        return "", ""
    return found[2], "open" if found[1] else "proprietary"


def read_modinfo(text: str) -> tuple[str, Flavour]:
    """Return version and flavour from ``modinfo nvidia``: the open module's license is «Dual MIT/GPL»."""
    pairs = dict(line.split(":", 1) for line in reversed(text.splitlines()) if ":" in line)
    version, license_ = pairs.get("version", "").strip(), pairs.get("license", "").strip()
    if not version:
        return "", ""
    return version, "open" if "GPL" in license_ or "MIT" in license_ else "proprietary"


def is_wsl(version: str) -> bool:
    """Tell from ``/proc/version`` whether this kernel is WSL2's."""
    return "microsoft" in version.lower()


def _on_the_bus(folder: Path) -> list[PciGpu]:
    found = []
    for device in sorted(folder.glob("*")) if folder.is_dir() else ():
        if _read(device / "vendor").strip() != _NVIDIA or not _read(device / "class").startswith(_DISPLAY_CLASS):
            continue
        bound = device / "driver"
        found.append(
            PciGpu(
                address=device.name,
                device=_read(device / "device").strip().removeprefix("0x"),
                driver=bound.resolve().name if bound.exists() else "",
            )
        )
    return found


def _secure_boot(variable: Path) -> bool | None:
    try:
        return variable.read_bytes()[-1:] == b"\x01"  # four bytes of attributes, then the value
    except OSError:
        return None


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""
