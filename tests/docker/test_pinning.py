"""Pin, archive and restore against a real registry and a real engine."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import Said, Shell, add_toy, copy_checkout, read_until

from .registry import LocalRegistry, docker, image_id, local_registry, make_image

TOY = ("--stack", "toy")
COMMIT = "0123456789" * 4


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[LocalRegistry]:
    """A registry of this test's own."""
    folder = tmp_path / "registry"
    folder.mkdir()
    with local_registry(folder) as running:
        yield running


@pytest.fixture
def images(tmp_path: Path) -> Iterator[list[str]]:
    """Two small images; whatever names and copies a test makes of them are removed."""
    made = [make_image(tmp_path / "image", "one"), make_image(tmp_path / "image", "two")]
    yield made
    forget(*made)


def forget(*ids: str) -> None:
    """Remove images with all their names."""
    for one in ids:
        subprocess.run(["docker", "rmi", "--force", one], capture_output=True, check=False)


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a checkout with the toy."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    add_toy(root)
    return Shell(root, env={"DOCKER_CONFIG": str(tmp_path / "docker-config")})


def serve_pulled(shell: Shell, image: str) -> None:
    """Make the toy a stack whose image is pulled."""
    path = shell.root / "compose/toy.yaml"
    text = re.sub(r"  build: .*\n|    BASE_IMAGE: .*\n", "", path.read_text())
    path.write_text(re.sub(r"\$\{IMAGE:-[^}]*\}", f"${{IMAGE:-{image}}}", text))
    (shell.root / "env/toy.env").write_text(
        f"# The toy's image; see the registry.\nIMAGE={image}\n\n# The port.\nPORT=8080\n"
    )


def pinned(shell: Shell) -> str:
    """Return the pin, the same in both homes."""
    in_env = re.findall(r"(?m)^IMAGE=(.*)$", (shell.root / "env/toy.env").read_text())
    in_compose = re.findall(r"\$\{IMAGE:-([^}]*)\}", (shell.root / "compose/toy.yaml").read_text())
    assert in_env == in_compose
    return str(in_env[0])


def check(shell: Shell) -> tuple[int, list[str]]:
    """Return exit code and codes of `inv pin --check`."""
    said = shell.inv("pin", "--check", *TOY, "--json")
    return said.code, [finding["code"] for finding in json.loads(said.out)]


def fine(said: Said) -> Said:
    """Return what was said, when the command ended well."""
    assert said.code == 0, said.all
    return said


def test_a_tag_is_pinned_and_seen_to_move(shell: Shell, registry: LocalRegistry, images: list[str]) -> None:
    digest = registry.push(images[0], "a/toy", "v1")
    serve_pulled(shell, f"{registry.host}/a/toy:v1")
    assert check(shell) == (0, ["pin-none"])

    said = fine(shell.inv("pin", *TOY))

    assert pinned(shell) == f"{registry.host}/a/toy:v1@{digest}"
    assert "# The toy's image; see the registry." in (shell.root / "env/toy.env").read_text()
    assert "# The port." in (shell.root / "env/toy.env").read_text()
    assert f"before: {registry.host}/a/toy:v1\n" in said.out
    assert check(shell) == (0, [])
    assert "was pinned so already" in fine(shell.inv("pin", *TOY)).out

    moved = registry.push(images[1], "a/toy", "v1")
    assert check(shell) == (1, ["pin-moved"])
    fine(shell.inv("pin", *TOY))
    assert pinned(shell) == f"{registry.host}/a/toy:v1@{moved}"
    assert check(shell) == (0, [])


def test_what_is_pinned_is_what_is_pulled_and_is_known_to_be_there(
    shell: Shell, registry: LocalRegistry, images: list[str]
) -> None:
    registry.push(images[0], "a/toy", "v1")
    serve_pulled(shell, f"{registry.host}/a/toy:v1")
    fine(shell.inv("pin", *TOY))
    forget(images[0])
    assert "+ docker pull" in shell.inv("plan", *TOY, "--runtime", "docker").out

    docker("pull", pinned(shell))

    assert image_id(pinned(shell)) == images[0]
    assert "+ docker pull" not in shell.inv("plan", *TOY, "--runtime", "docker").out


def test_a_nightly_is_pinned_by_the_tag_that_stays(shell: Shell, registry: LocalRegistry, images: list[str]) -> None:
    digest = registry.push(images[0], "a/toy", "nightly")
    registry.push(images[0], "a/toy", f"nightly-{COMMIT}")
    serve_pulled(shell, f"{registry.host}/a/toy:nightly")

    fine(shell.inv("pin", *TOY))

    assert pinned(shell) == f"{registry.host}/a/toy:nightly-{COMMIT}@{digest}"
    registry.push(images[1], "a/toy", "nightly")
    assert check(shell) == (0, ["pin-newer"])
    assert "next: inv pin --stack toy" in shell.inv("pin", "--check", *TOY).out


def test_an_image_for_other_machines_is_not_pinned(shell: Shell, registry: LocalRegistry, tmp_path: Path) -> None:
    foreign = make_image(tmp_path / "arm", "arm", platform="linux/arm64")
    digest = registry.push(foreign, "a/toy", "v1")
    forget(foreign)
    serve_pulled(shell, f"{registry.host}/a/toy:v1")

    said = shell.inv("pin", *TOY)

    assert said.code == 1
    assert "has nothing for linux/amd64" in said.err
    assert "it is for linux/arm64" in said.err
    assert pinned(shell) == f"{registry.host}/a/toy:v1"
    serve_pulled(shell, f"{registry.host}/a/toy:v1@{digest}")
    assert check(shell) == (1, ["pin-platform"])


def test_what_vanished_comes_back_from_its_archive(shell: Shell, registry: LocalRegistry, images: list[str]) -> None:
    digest = registry.push(images[0], "a/toy", "v1")
    serve_pulled(shell, f"{registry.host}/a/toy:v1")
    fine(shell.inv("pin", *TOY))
    docker("pull", pinned(shell))
    archived = fine(shell.inv("archive", *TOY))
    assert "sha256: " in archived.out
    registry.delete("a/toy", digest)
    forget(images[0])
    assert not image_id(images[0])

    assert check(shell) == (1, ["pin-vanished"])
    gone = shell.inv("pin", *TOY)
    assert gone.code == 1
    assert "inv restore --stack toy" in gone.err
    said = fine(shell.inv("restore", *TOY))

    name = f"localhost/blackstack/toy:{images[0][7:19]}"
    assert image_id(name) == images[0]
    assert f"inv up --stack toy --set IMAGE={name}" in said.out
    assert pinned(shell) == f"{registry.host}/a/toy:v1@{digest}"


def test_a_registry_that_is_down_is_not_checked_and_never_fine(
    shell: Shell, registry: LocalRegistry, images: list[str]
) -> None:
    registry.push(images[0], "a/toy", "v1")
    serve_pulled(shell, f"{registry.host}/a/toy:v1")
    fine(shell.inv("pin", *TOY))
    before = pinned(shell)

    registry.stop()

    assert check(shell) == (1, ["pin-not-checked"])
    assert "as pinned" not in shell.inv("pin", "--check", *TOY).out
    said = shell.inv("pin", *TOY)
    assert said.code == 1
    assert "nobody listens there" in said.err
    assert pinned(shell) == before


@pytest.fixture
def archived(shell: Shell, images: list[str]) -> tuple[Path, str]:
    """The archive of an image that was built here, and the image's id."""
    docker("tag", images[0], "toy:1")
    fine(shell.inv("archive", *TOY))
    (path,) = (shell.root / ".blackstack/archives").glob("*.zst")
    return path, images[0]


def test_an_archive_gives_the_image_its_name_back(
    shell: Shell, archived: tuple[Path, str], images: list[str], tmp_path: Path
) -> None:
    path, kept = archived
    docker("tag", images[1], "toy:1")  # the name stands for another one by now
    docker("rmi", kept)
    elsewhere = tmp_path / "usb-stick"
    shutil.copytree(path.parent, elsewhere)

    said = fine(shell.inv("restore", "--archive", str(elsewhere / path.name)))

    assert image_id("toy:1") == kept
    assert image_id(f"localhost/blackstack/toy:{images[1][7:19]}") == images[1]
    assert f"it stood for {images[1][:19]} before" in said.out
    assert "blackstack/toy" not in fine(shell.inv("restore", *TOY)).out  # a second time nothing moves
    docker("load", "--quiet", "--input", str(path))  # docker itself reads it too


def test_the_same_image_is_archived_once(shell: Shell, archived: tuple[Path, str]) -> None:
    path, _ = archived
    before = path.stat()

    fine(shell.inv("archive", *TOY))
    assert path.stat().st_mtime_ns == before.st_mtime_ns

    whole = path.read_bytes()
    broken = whole[:-1] + bytes([whole[-1] ^ 1])  # but one that broke is made anew
    path.write_bytes(broken)
    fine(shell.inv("archive", *TOY))
    assert path.read_bytes() != broken


def truncated(path: Path) -> None:
    """Lose the second half, as a copy that was cut off does."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def corrupt(path: Path) -> None:
    """Turn one byte, as a bad disk does."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def without_record(path: Path) -> None:
    """Bring the file alone."""
    path.with_name(f"{path.name}.json").unlink()


@pytest.mark.parametrize(
    ("spoil", "code", "sentence"),
    [
        (truncated, 1, "it is truncated"),
        (corrupt, 1, "its checksum is"),
        (without_record, 2, "has no record beside it"),
    ],
)
def test_an_archive_that_is_not_what_was_saved_touches_no_image(
    shell: Shell, archived: tuple[Path, str], spoil: Callable[[Path], None], code: int, sentence: str
) -> None:
    path, kept = archived
    forget(kept)
    before = docker("images", "--quiet", "--no-trunc", "toy")
    spoil(path)

    said = shell.inv("restore", "--archive", str(path))

    assert said.code == code, said.all
    assert sentence in said.err
    assert not image_id(kept)
    assert docker("images", "--quiet", "--no-trunc", "toy") == before


def test_an_archive_for_other_machines_is_refused_before_it_is_loaded(shell: Shell, tmp_path: Path) -> None:
    foreign = make_image(tmp_path / "arm", "arm", platform="linux/arm64")
    docker("tag", foreign, "toy:1")
    fine(shell.inv("archive", *TOY))
    forget(foreign)

    said = shell.inv("restore", *TOY)

    assert said.code == 1
    assert "holds an image for linux/arm64; this engine runs linux/amd64" in said.err
    assert not image_id(foreign)


def test_too_little_disk_is_said_before_anything_is_written(shell: Shell, images: list[str]) -> None:
    docker("tag", images[0], "toy:1")
    full = shell.root / "full"
    full.mkdir()
    mounted = ["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", str(full)]
    if subprocess.run(mounted, capture_output=True, check=False).returncode:
        pytest.skip("a small disk cannot be mounted here")
    try:
        (full / "filler").write_bytes(b"x" * 4096)
        said = shell.inv("archive", *TOY, "--out", str(full))
        left = [path.name for path in full.iterdir()]
    finally:
        subprocess.run(["umount", str(full)], check=True)

    assert said.code == 1, said.all
    assert "too little disk" in said.err
    assert left == ["filler"]


@pytest.mark.slow
def test_ctrl_c_in_the_middle_of_an_archive_leaves_none(shell: Shell, image: str) -> None:
    text = (shell.root / "env/toy.env").read_text().replace("IMAGE=toy:1", f"IMAGE={image}")
    (shell.root / "env/toy.env").write_text(text)
    saving = shell.begin("archive", *TOY)
    read_until(saving, "· save")

    os.killpg(saving.pid, signal.SIGINT)
    _, err = saving.communicate(timeout=60)

    assert saving.returncode == 130, err
    assert "no archive was written" in err
    assert list((shell.root / ".blackstack/archives").glob("*")) == []


def test_what_cannot_be_meant_is_said(shell: Shell, images: list[str]) -> None:
    docker("tag", images[0], "toy:1")
    docker("rmi", "toy:1")
    built_here = shell.inv("pin", *TOY)
    assert built_here.code == 2
    assert "toy is built here" in built_here.err
    nothing = shell.inv("archive", *TOY)
    assert nothing.code == 1
    assert "the engine has no toy:1" in nothing.err
    assert shell.inv("restore").code == 2
    none = shell.inv("restore", *TOY)
    assert none.code == 1
    assert "there is no archive of toy" in none.err
