"""The loader's rules, each held against what a real dlopen does in a fresh process."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from blackstack.audit.process import DRIVER, Library, Problem, Process
from blackstack.audit.root import Root
from blackstack.audit.search import read_cache
from tests.unit.audit.build import library

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="makes its libraries with gcc")

OPEN = "import ctypes, sys\nfor path in sys.argv[1:]: ctypes.CDLL(path)"


def static(*paths: Path, library_path: str = "") -> list[Problem]:
    """Say what stops the last of PATHS after the others were opened."""
    with Library(Root(Path("/"))) as files:
        process = Process(files, platform.machine(), [library_path] if library_path else [])
        return [process.dlopen(str(path)) for path in paths][-1]


def real(*paths: Path, library_path: str = "") -> str:
    """Open them, and return what ld.so said; empty if it was content."""
    environment = os.environ | {"LD_LIBRARY_PATH": library_path}
    command = [sys.executable, "-c", OPEN, *map(str, paths)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    return done.stderr.strip().rpartition("\n")[2]


def both(*paths: Path, library_path: str = "") -> list[Problem]:
    """Return the static verdict, after making sure that the real one is the same."""
    problems = static(*paths, library_path=library_path)
    said = real(*paths, library_path=library_path)
    assert bool(said) == bool(problems), (said, problems)
    assert not said or any(problem.name in said for problem in problems), (said, problems)
    return problems


def test_a_library_that_is_nowhere_is_missing(tmp_path: Path) -> None:
    away = library(tmp_path / "away/libaway.so", soname="libaway.so", defines=["f"])
    path = library(tmp_path / "x.so", wants=["f"], needs=[away])

    assert {("library", "libaway.so")} <= {(p.kind, p.name) for p in both(path)}


@pytest.mark.parametrize("tag", ["--enable-new-dtags", "--disable-new-dtags"], ids=["RUNPATH", "RPATH"])
def test_origin_is_the_folder_of_the_file(tmp_path: Path, tag: str) -> None:
    dep = library(tmp_path / "libs/libdep.so", soname="libdep.so", defines=["f"])
    path = library(tmp_path / "x.so", wants=["f"], needs=[dep], flags=[f"-Wl,{tag}", "-Wl,-rpath,$ORIGIN/libs"])

    assert not both(path)


@pytest.mark.parametrize(("tag", "found"), [("--enable-new-dtags", False), ("--disable-new-dtags", True)])
def test_rpath_serves_the_libraries_of_libraries_and_runpath_does_not(tmp_path: Path, tag: str, *, found: bool) -> None:
    deep = library(tmp_path / "deep/libdeep.so", soname="libdeep.so", defines=["deep"])
    dep = library(tmp_path / "libs/libdep.so", soname="libdep.so", defines=["f"], wants=["deep"], needs=[deep])
    paths = "-Wl,-rpath,$ORIGIN/libs:$ORIGIN/deep"
    path = library(tmp_path / "x.so", wants=["f"], needs=[dep], flags=[f"-Wl,{tag}", paths])

    assert found == (not both(path))


def test_ld_library_path_comes_before_runpath(tmp_path: Path) -> None:
    good = library(tmp_path / "good/libdep.so", soname="libdep.so", defines=["f"])
    library(tmp_path / "bad/libdep.so", soname="libdep.so", defines=["other"])
    path = library(tmp_path / "x.so", wants=["f"], needs=[good], flags=["-Wl,-rpath,$ORIGIN/good"])

    assert not both(path)
    assert both(path, library_path=str(tmp_path / "bad"))


def test_a_name_that_is_loaded_is_not_searched(tmp_path: Path) -> None:
    """This is why torch loads libraries that it does not need itself."""
    dep = library(tmp_path / "elsewhere/libdep.so", soname="libdep.so", defines=["f"])
    path = library(tmp_path / "x.so", wants=["f"], needs=[dep])

    assert both(path)
    assert not both(dep, path)


def test_a_symbol_that_nobody_defines_is_named(tmp_path: Path) -> None:
    path = library(tmp_path / "x.so", wants=["nobody_has_me"])

    assert [(p.kind, p.name) for p in both(path)] == [("symbol", "nobody_has_me")]


def test_a_private_library_does_not_lend_its_symbols(tmp_path: Path) -> None:
    """RTLD_LOCAL: to be loaded is not to be in the scope."""
    lender = library(tmp_path / "lender.so", defines=["f"])
    path = library(tmp_path / "x.so", wants=["f"])

    assert both(lender, path)


def test_a_symbol_of_the_wrong_version_does_not_count(tmp_path: Path) -> None:
    old = library(tmp_path / "old/libv.so", soname="libv.so", defines=["f"], versions="V1 { global: f; };")
    new = library(tmp_path / "new/libv.so", soname="libv.so", defines=["f"], versions="V2 { global: f; };")
    path = library(tmp_path / "x.so", wants=["f"], needs=[old], flags=["-Wl,-rpath,$ORIGIN/lib"])
    (tmp_path / "lib").mkdir()
    shutil.copy(old, tmp_path / "lib")

    assert not both(path)
    shutil.copy(new, tmp_path / "lib")
    assert {("version", "V1")} <= {(p.kind, p.name) for p in both(path)}


def test_a_library_for_another_machine_is_passed_over(tmp_path: Path) -> None:
    good = library(tmp_path / "good/libdep.so", soname="libdep.so", defines=["f"])
    foreign = bytearray(good.read_bytes())
    foreign[18:20] = (21).to_bytes(2, "little")  # PowerPC
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/libdep.so").write_bytes(foreign)
    path = library(tmp_path / "x.so", wants=["f"], needs=[good], flags=["-Wl,-rpath,$ORIGIN/bad:$ORIGIN/good"])

    assert not both(path)


def test_what_the_driver_brings_is_expected_and_not_missing(tmp_path: Path) -> None:
    driver = library(tmp_path / "away/libcuda.so.1", soname="libcuda.so.1", defines=["cuLaunchKernel"])
    path = library(tmp_path / "x.so", wants=["cuLaunchKernel"], needs=[driver])

    assert static(path) == []
    assert DRIVER.libraries.fullmatch("libnvidia-ml.so.1")
    assert not DRIVER.libraries.fullmatch("libcudart.so.12")


def test_names_of_the_interpreter_are_expected(tmp_path: Path) -> None:
    assert static(library(tmp_path / "x.so", wants=["PyModule_Create2"])) == []


def test_links_of_a_root_stay_inside_it(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    (tmp_path / "usr/lib/libx.so.1.2").write_bytes(b"x")
    (tmp_path / "lib").symlink_to("usr/lib")
    (tmp_path / "usr/lib/libx.so.1").symlink_to("/lib/libx.so.1.2")
    (tmp_path / "usr/lib/out").symlink_to("../../../../../../etc")
    (tmp_path / "loop").symlink_to("/loop")
    root = Root(tmp_path)

    assert root.resolve("/lib/libx.so.1") == "/usr/lib/libx.so.1.2"
    assert root.resolve("/usr/lib/out") is None
    assert root.resolve("/loop") is None


def test_the_cache_of_ldconfig_is_read() -> None:
    data = Path("/etc/ld.so.cache").read_bytes()

    assert any(path.endswith("libc.so.6") for path in read_cache(data)["libc.so.6"])
    assert read_cache(data[:60]) == {}
    assert read_cache(b"no cache") == {}
