"""The driver's part in the kernel, from the files it leaves."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from blackstack.facts import driver

Seen = Mapping[str, Mapping[str, str]]


@pytest.mark.parametrize(
    ("name", "version", "flavour"),
    [
        ("nvrm-open", "565.57.01", "open"),
        ("nvrm-open-aarch64", "35.3.1", "open"),
        ("nvrm-proprietary", "520.56.06", "proprietary"),
    ],
)
def test_the_loaded_module_says_its_version_and_flavour(seen: Seen, name: str, version: str, flavour: str) -> None:
    assert driver.read_nvrm(seen[name]["text"]) == (version, flavour)


def test_the_module_on_disk_says_them_by_its_license(seen: Seen) -> None:
    assert driver.read_modinfo(seen["modinfo-open"]["text"]) == ("590.44.01", "open")
    assert driver.read_modinfo(seen["modinfo-proprietary"]["text"]) == ("352.63", "proprietary")
    assert driver.read_modinfo("") == ("", "")


def test_wsl_is_told_by_its_kernel(seen: Seen) -> None:
    assert driver.is_wsl(seen["proc-version-wsl"]["text"])
    assert not driver.is_wsl("Linux version 6.8.0-90-generic (buildd@lcy02-amd64-030)")


def test_a_card_on_the_bus_is_found_with_whoever_has_it(tmp_path: Path) -> None:
    card = tmp_path / "sys/bus/pci/devices/0000:01:00.0"
    sound = tmp_path / "sys/bus/pci/devices/0000:01:00.1"
    for folder, kind in ((card, "0x030000"), (sound, "0x040300")):
        folder.mkdir(parents=True)
        (folder / "vendor").write_text("0x10de\n")
        (folder / "device").write_text("0x2b85\n")
        (folder / "class").write_text(f"{kind}\n")
    (tmp_path / "sys/bus/pci/drivers/nouveau").mkdir(parents=True)
    (card / "driver").symlink_to(tmp_path / "sys/bus/pci/drivers/nouveau")

    told = driver.look(tmp_path)

    assert told.pci == (driver.PciGpu(address="0000:01:00.0", device="2b85", driver="nouveau"),)


def test_secure_boot_is_read_from_the_firmware_and_unknown_without_it(tmp_path: Path) -> None:
    variables = tmp_path / "sys/firmware/efi/efivars"
    variables.mkdir(parents=True)
    assert driver.look(tmp_path).secure_boot is None

    (variables / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\x06\x00\x00\x00\x01")

    assert driver.look(tmp_path).secure_boot is True
