"""Audit wheels that are not installed: pip says which it would take, and only binaries are fetched.

pip's own report (``pip install --dry-run --report``) finds the files, so its index, its certificates, its
find-links and its rules hold, and nothing of them is known here. What the wheels' dependencies would bring
(CUDA libraries) is expected, not fetched.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import zipfile
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from blackstack.audit.remote import NoRangesError, open_url
from blackstack.audit.root import SONAME_END, Root
from blackstack.audit.target import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WANTED = re.compile(
    rf".*{SONAME_END}"
    r"|.*\.cubin|[^/]+\.dist-info/(METADATA|RECORD|WHEEL)"
    r"|torch/(version|__init__)\.py|.*cpp_lib\.json|.*blackstack-seal\.json"
)
_CHUNK = 1 << 20


class WheelError(Exception):
    """pip finds no such wheel, or it cannot be read."""


@contextmanager
def opened(requirements: Sequence[str]) -> Iterator[Target]:
    """Fetch what an audit reads of the wheels into a folder of packages that lives as long as the audit."""
    with ExitStack() as stack:
        site = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="audit-"))) / "site-packages"
        site.mkdir()
        for url in _urls(requirements):
            try:
                _unpack(url, site)
            except (
                OSError,
                urllib.error.URLError,
                zipfile.BadZipFile,
                RuntimeError,
                NotImplementedError,
            ) as error:
                raise WheelError(f"{url.rpartition('/')[2]}: {error}") from error
        python = (sys.version_info.major, sys.version_info.minor)
        yield Target(Root(Path("/")), (str(site),), " ".join(requirements), python, partial=True)


def _urls(requirements: Sequence[str]) -> list[str]:
    files = [Path(text) for text in requirements if text.endswith(".whl")]
    for file in files:
        if not file.is_file():
            raise WheelError(f"there is no {file}")
    named = [text for text in requirements if not text.endswith(".whl")]
    return [file.resolve().as_uri() for file in files] + (_ask_pip(named) if named else [])


def _ask_pip(requirements: Sequence[str]) -> list[str]:
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--ignore-installed",
        "--no-deps",
        "--quiet",
    ]
    command += ["--only-binary=:all:", "--disable-pip-version-check", "--report", "-", *requirements]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        told = [line for line in done.stderr.splitlines() if line.startswith("ERROR")] or ["pip finds no such wheel"]
        raise WheelError(told[-1].removeprefix("ERROR: "))
    return [item["download_info"]["url"] for item in json.loads(done.stdout)["install"]]


def _unpack(url: str, site: Path) -> None:
    try:
        source: BinaryIO = open_url(url)
    except NoRangesError:
        source = _whole(url)
    with source, zipfile.ZipFile(source) as wheel:
        left = shutil.disk_usage(site).free * 9 // 10
        for item in sorted(wheel.infolist(), key=lambda item: item.header_offset):
            parts = item.filename.split("/")
            if item.is_dir() or ".." in parts or parts[0] == "" or not _WANTED.fullmatch(item.filename):
                continue
            left -= item.file_size
            if left < 0:
                raise OSError("its libraries do not fit on this disk")
            target = site / _place(item.filename)
            target.parent.mkdir(parents=True, exist_ok=True)
            with wheel.open(item) as packed, target.open("wb") as file:
                shutil.copyfileobj(packed, file, _CHUNK)


def _place(name: str) -> str:
    """Wheels may keep files in NAME.data/purelib: pip lays them into the folder of packages."""
    return re.sub(r"^[^/]+\.data/(purelib|platlib)/", "", name)


def _whole(url: str) -> BinaryIO:
    import urllib.request  # noqa: PLC0415 - rarely needed

    if not url.startswith("https://"):
        raise OSError(f"not fetched: {url}")
    file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the caller
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - https, checked above
        shutil.copyfileobj(answer, file, _CHUNK)
    return file
