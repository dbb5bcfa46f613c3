"""The rules between the files: the ABI lock, alternatives, pins, features, and the interface for machines."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import zipfile
from typing import TYPE_CHECKING

import pytest

from blackstack.audit import abi, audit, groups, main, of_python, of_root, of_site
from blackstack.audit.abi import Origin
from blackstack.audit.demangle import demangle, overload_prefix
from blackstack.audit.symbols import DATA, Table, add_column, is_torch_name, lookup
from blackstack.audit.target import TargetError
from tests.unit.audit import build

if TYPE_CHECKING:
    from pathlib import Path

gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="makes its libraries with gcc")

MINORS = tuple((2, n) for n in range(7, 16))


def table(**masks: str) -> Table:
    """Make a table from «name = releases» such as f="2.8 2.9"."""
    bits = {f"2.{minor[1]}": 1 << i for i, minor in enumerate(MINORS)}
    return Table(MINORS, {name: sum(bits[word] for word in words.split()) for name, words in masks.items()})


def judge(known: Table, said: Origin, installed: tuple[int, int], *names: str, binds: bool = True) -> str:
    return abi.lock(known, [set(names)], said, installed, binds=binds).loads


PINNED = Origin((2, 8), "2.8.0", "its pin (torch==2.8.0)")
F = table(f="2.8 2.9", g="2.8", h="2.8 2.9 2.10")


@pytest.mark.parametrize(
    ("said", "installed", "names", "verdict"),
    [
        (PINNED, (2, 8), ["f"], "ok"),
        (PINNED, (2, 9), ["f"], "fail"),  # layouts changed: torchvision 0.23 aborts on 2.9
        (PINNED, (2, 7), ["f"], "ok"),  # they did not: files of 2.8 were really loaded by 2.7
        (Origin((2, 10), "2.10.0", "pin"), (2, 11), ["f"], "risk"),  # nobody has tried
        (Origin(), (2, 8), ["g"], "ok"),  # one release satisfies it
        (Origin(), (2, 9), ["g"], "fail"),
        (Origin(), (2, 9), ["f"], "risk"),  # either of two, and one of them aborts
        (Origin(), (2, 99), ["f"], "risk"),  # a torch that the table does not know
    ],
)
def test_the_abi_lock(said: Origin, installed: tuple[int, int], names: list[str], verdict: str) -> None:
    assert verdict == judge(F, said, installed, *names)


def test_one_file_that_cannot_bind_condemns_its_siblings_where_layouts_differ() -> None:
    over_the_break = abi.lock(F, [{"g"}], Origin(), (2, 9), binds=False)
    without_one = abi.lock(F, [{"g"}], Origin(), (2, 7), binds=False)

    assert over_the_break.of_binding_file((2, 9)) == "fail"
    assert without_one.of_binding_file((2, 7)) == "ok"


def test_the_build_is_read_from_seal_record_version_and_pin_in_this_order(tmp_path: Path) -> None:
    def dist(version: str, *requires: str) -> Origin:
        build.distribution(tmp_path, "x", version, requires)
        found = of_site_distribution(tmp_path, "x")
        shutil.rmtree(next(tmp_path.glob("x-*.dist-info")))
        return abi.origin(found, [tmp_path])  # type: ignore[arg-type]

    assert Origin() == dist("1.0", "torch>=2")
    assert dist("1.0", "torch==2.8.0").minor == (2, 8)
    assert dist("2.8.3+cu12torch2.9cxx11abiTRUE", "torch==2.8.0").minor == (2, 9)
    assert dist("2.1.2+pt28cu128").minor == (2, 8)
    (tmp_path / "cpp_lib.json").write_text(json.dumps({"version": {"torch": "2.10.0+cu128"}}))
    assert dist("1.0", "torch==2.8.0").minor == (2, 10)
    (tmp_path / abi.SEAL).write_text(json.dumps({"torch": "2.14.1"}))
    assert dist("1.0", "torch==2.8.0").minor == (2, 14)


def of_site_distribution(site: Path, name: str) -> object:
    from blackstack.audit.dists import read_site  # noqa: PLC0415

    return read_site(site).distributions[name]


def test_the_symbol_table_knows_what_changed_between_releases() -> None:
    known = lookup([build.NEW_SYMBOL, build.OLD_SYMBOL, build.SHARED_SYMBOL])

    assert (2, 8) in known.exporting([build.NEW_SYMBOL])
    assert (2, 7) not in known.exporting([build.NEW_SYMBOL])
    assert set(known.minors) == set(known.exporting([build.SHARED_SYMBOL]))
    assert known.exporting(["_ZN3c1012no_such_nameEv"]) == ()


def test_a_release_is_added_to_the_table_as_a_column(tmp_path: Path) -> None:
    data = tmp_path / "table.xz"

    add_column((2, 8), {"a", "b"}, data)
    add_column((2, 15), {"b"}, data)

    assert lookup(["a"], data).exporting(["a"]) == ((2, 8),)
    assert lookup(["b"], data).exporting(["b"]) == ((2, 8), (2, 15))
    assert DATA.stat().st_size < 1 << 20


def test_names_of_the_standard_library_inside_torch_are_not_torch() -> None:
    assert is_torch_name("_ZN2at4_ops3add4callERKNS_6TensorES4_RKN3c106ScalarE")
    assert is_torch_name("aoti_torch_get_data_ptr")
    assert not is_torch_name("_ZNSt7__cxx1112basic_stringIcSt11char_traitsIcESaIcEE9_M_createERmm")


def test_alternatives_are_grouped_and_the_fitting_one_is_chosen() -> None:
    paths = [f"bitsandbytes/libbitsandbytes_{name}.so" for name in ("cuda118", "cuda126", "cuda128", "cpu", "rocm72")]

    assert len(set(groups.alternatives(paths).values())) == 1
    assert groups.chosen(paths, "12.8", (12, 0)) == "bitsandbytes/libbitsandbytes_cuda128.so"
    assert groups.alternatives(["vllm/_C.abi3.so", "vllm/_moe_C.abi3.so"]) == {}
    builds = [f"x/addon_torch{torch}-{kind}.so" for torch in ("28", "210") for kind in ("cpu", "cuda")]
    assert len(set(groups.alternatives(builds).values())) == 1
    assert groups.torch_of(builds[0]) == (2, 8)
    assert groups.torch_of(builds[2]) == (2, 10)
    assert groups.chosen(["k/sm90/ops.so", "k/sm100/ops.so"], "12.8", (12, 0)) == "k/sm100/ops.so"


def test_a_module_for_another_python_is_told() -> None:
    assert groups.other_python("_mscclpp.cpython-310-x86_64-linux-gnu.so", (3, 12))
    assert not groups.other_python("_mscclpp.cpython-312-x86_64-linux-gnu.so", (3, 12))
    assert not groups.other_python("_C.abi3.so", (3, 12))


def test_overloads_share_a_prefix() -> None:
    assert overload_prefix(build.NEW_SYMBOL) == "_ZN3c104cuda9SetDeviceE"
    assert overload_prefix("_ZN3c1013MessageLoggerC1EPKcii") == "_ZN3c1013MessageLoggerC1E"
    assert not overload_prefix("memcpy")
    assert demangle("memcpy") == "memcpy"


@gcc
def test_an_unreadable_file_is_an_error_and_not_skipped(tmp_path: Path) -> None:
    lib = build.torch(tmp_path, "2.8.0+cu128")
    file = build.extension(tmp_path, "x/_C.so", lib=lib)
    file.write_bytes(file.read_bytes()[:2000])
    build.distribution(tmp_path, "x", "1.0", files=[file])

    report = audit(of_site(tmp_path))

    assert {package.name: package.loads for package in report.packages}["x"] == "fail"
    assert [finding.code for finding in report.findings if finding.severity == "error"] == ["unreadable-file"]


@gcc
def test_a_file_that_needs_no_library_must_still_find_its_names(tmp_path: Path) -> None:
    build.library(tmp_path / "x/_C.so", wants=["nobody_has_me"])

    (finding,) = audit(of_site(tmp_path)).findings

    assert (finding.code, finding.evidence) == ("undefined-symbol", ("_C.so wants nobody_has_me",))


@gcc
def test_a_text_for_the_linker_is_no_library(tmp_path: Path) -> None:
    (tmp_path / "libx.so").write_text("/* GNU ld script */ INPUT(libx.so.1)")

    assert not audit(of_site(tmp_path)).blocked


@gcc
def test_a_torch_that_cannot_load_is_said_once_and_nobody_else_is_blamed(tmp_path: Path) -> None:
    lib = build.torch(tmp_path, "2.15.0+cu132", cuda="13.2")
    gone = build.library(tmp_path / "away/libnvshmem_host.so.3", soname="libnvshmem_host.so.3", defines=["f"])
    build.library(
        lib / "libtorch_cuda.so",
        soname="libtorch_cuda.so",
        needs=[gone],
        flags=["-Wl,--no-as-needed", str(gone)],
    )
    shutil.rmtree(tmp_path / "away")
    file = build.extension(tmp_path, "x/_C.so", lib=lib)
    build.distribution(tmp_path, "x", "1.0", files=[file])

    report = audit(of_site(tmp_path))

    assert report.torch["loads"] == "fail"
    assert [finding.code for finding in report.findings if finding.severity == "error"] == ["torch-broken"]


@gcc
def test_a_cuda_extension_beside_a_cpu_torch_is_named(tmp_path: Path) -> None:
    """Torchvision 0.28.0 with torch 2.13.0+cpu: every pin holds."""
    cuda = build.library(tmp_path / "away/libc10_cuda.so", soname="libc10_cuda.so", defines=["f"])
    lib = build.torch(tmp_path / "site", "2.13.0+cpu", cuda="")
    file = build.extension(tmp_path / "site", "torchvision/_C.so", lib=lib, flags=[str(cuda)])
    build.distribution(tmp_path / "site", "torchvision", "0.28.0", ["torch==2.13.0"], [file])

    (finding,) = [f for f in audit(of_site(tmp_path / "site")).findings if f.severity == "error"]

    assert finding.code == "torch-without-cuda"
    assert "operator torchvision::nms does not exist" in finding.cause


@gcc
def test_an_extension_without_any_torch_says_which_one_it_wants(tmp_path: Path) -> None:
    lib = build.torch(tmp_path / "away", "2.10.0+cu128")
    file = build.extension(tmp_path / "site", "xformers/_C.so", lib=lib)
    build.distribution(tmp_path / "site", "xformers", "0.0.35", ["torch>=2.10"], [file])

    (finding,) = [f for f in audit(of_site(tmp_path / "site")).findings if f.severity == "error"]

    assert (finding.code, finding.fix) == ("torch-missing", ("pip install 'torch>=2.10'",))


@gcc
def test_two_cudas_in_one_process_are_named(tmp_path: Path) -> None:
    twelve = build.library(tmp_path / "away/libcudart.so.12", soname="libcudart.so.12", defines=["f"])
    lib = build.torch(tmp_path / "site", "2.14.0+cu130", cuda="13.0")
    file = build.extension(tmp_path / "site", "xformers/_C.so", lib=lib, flags=[str(twelve)])
    build.distribution(tmp_path / "site", "xformers", "0.0.35", ["torch>=2.10"], [file])

    (finding,) = [f for f in audit(of_site(tmp_path / "site")).findings if f.severity == "error"]

    assert finding.title == "xformers 0.0.35 does not load: built for CUDA 12, but torch is built for CUDA 13.0"


@gcc
def test_a_sibling_that_the_package_loads_first_is_not_missing(tmp_path: Path) -> None:
    """Torchaudio and torchcodec open their own libraries before their extensions."""
    lib = build.torch(tmp_path, "2.8.0+cu128")
    first = build.library(tmp_path / "torchaudio/lib/libtorchaudio.so", soname="libtorchaudio.so", defines=["f"])
    file = build.extension(tmp_path, "torchaudio/lib/_torchaudio.so", lib=lib, wants=["f"], flags=[str(first)])
    build.distribution(tmp_path, "torchaudio", "2.8.0", ["torch==2.8.0"], [first, file])

    assert not audit(of_site(tmp_path)).blocked


@gcc
def test_ptx_that_the_driver_does_not_know_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = build.container(build.image(80), build.image(80, build.PTX, isa=(9, 0)))
    file = build.library(tmp_path / "vllm/_C.so", fatbin=code)
    build.distribution(tmp_path, "vllm", "0.20.0", files=[file])

    assert main(["--site", str(tmp_path), "--driver", "570.133", "--gpu", "rtx-5090"]) == 1
    assert "the provided PTX was compiled with an unsupported toolchain" in capsys.readouterr().out
    assert main(["--site", str(tmp_path), "--driver", "580.95", "--gpu", "rtx-5090"]) == 0


@gcc
def test_the_interface_for_machines_is_stable(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lib = build.torch(tmp_path, "2.8.0+cu128")
    file = build.extension(tmp_path, "vllm/_C.so", lib=lib, fatbin=build.container(build.image(120)))
    build.distribution(tmp_path, "vllm", "0.11.0", ["torch==2.8.0"], [file])

    assert main(["--site", str(tmp_path), "--for", "12.0", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)

    assert str(tmp_path) == data["root"]
    assert data["torch"] == {"version": "2.8.0+cu128", "cuda": "12.8", "loads": "ok"}
    package = data["packages"]["vllm"]
    assert (package["version"], package["loads"]) == ("0.11.0", "ok")
    assert (package["files"]["vllm/_C.so"]["loads"], package["files"]["vllm/_C.so"]["reasons"]) == ("ok", [])
    assert {"native": 1, "ptx": 0, "none": 0, "total": 1}.items() <= package["runs"]["12.0"].items()
    assert {"code", "severity", "title", "evidence", "cause", "fix", "verify", "source"} == set(data["findings"][0])


def test_sarif_is_written_for_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "broken.so").write_bytes(b"\x7fELF")

    assert main(["--site", str(tmp_path), "--sarif"]) == 1
    log = json.loads(capsys.readouterr().out)

    assert [result["ruleId"] for result in log["runs"][0]["results"]] == ["unreadable-file"]


def test_what_is_not_there_is_said_with_exit_code_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--site", str(tmp_path / "nowhere")]) == 2
    assert main(["--root", str(tmp_path)]) == 2
    assert main(["--wheels", str(tmp_path / "no.whl")]) == 2
    assert "is not a folder" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["--site", str(tmp_path), "--gpu", "rtx-9999"])


def test_a_folder_of_packages_under_two_names_is_counted_once(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").touch()
    (tmp_path / "lib/python3.11/site-packages").mkdir(parents=True)
    (tmp_path / "lib64").symlink_to("lib")

    assert of_python(tmp_path / "bin/python").sites == (str(tmp_path / "lib/python3.11/site-packages"),)


def test_a_virtual_environment_is_found_from_its_python(tmp_path: Path) -> None:
    site = tmp_path / "lib/python3.12/site-packages"
    site.mkdir(parents=True)
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin/python").symlink_to(sys.executable)
    (tmp_path / "pyvenv.cfg").write_text("home = /usr/bin\ninclude-system-site-packages = false\nversion = 3.12.3\n")

    target = of_python(tmp_path / "bin/python")

    assert (str(site),) == target.sites
    with pytest.raises(TargetError):
        of_python(tmp_path / "bin/nothing")


def test_folders_of_pythonpath_that_have_packages_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own, added, bare = (tmp_path / name for name in ("env/lib/python3.12/site-packages", "added", "bare"))
    for folder in (own, added / "torch-2.11.0.dist-info", bare, tmp_path / "env/bin"):
        folder.mkdir(parents=True)
    (tmp_path / "env/bin/python").symlink_to(sys.executable)
    monkeypatch.setenv("PYTHONPATH", f"{bare}:{added}::{tmp_path / 'nothing'}")

    assert of_python(tmp_path / "env/bin/python").sites == (str(added), str(own))


def test_of_many_environments_in_a_root_the_one_with_torch_is_taken(tmp_path: Path) -> None:
    for place in ("usr/lib/python3/dist-packages", "opt/venv/lib/python3.11/site-packages/torch"):
        (tmp_path / place).mkdir(parents=True)

    target = of_root(tmp_path)

    assert target.sites[0] == "/opt/venv/lib/python3.11/site-packages"
    assert target.python == (3, 11)


@gcc
def test_wheels_are_audited_from_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    site = tmp_path / "site"
    lib = build.torch(site, "2.10.0+cu128", exports=[build.OLD_SYMBOL])
    file = build.extension(site, "vllm/_C.abi3.so", wants=[build.NEW_SYMBOL], lib=lib)
    build.distribution(site, "vllm", "0.11.0", ["torch==2.8.0"], [file])
    wheels = []
    for name in ("torch", "vllm"):
        wheels.append(tmp_path / f"{name}-1-py3-none-any.whl")
        with zipfile.ZipFile(wheels[-1], "w", zipfile.ZIP_DEFLATED) as wheel:
            for path in sorted(site.glob(f"{name}*/**/*")):
                wheel.write(path, path.relative_to(site))

    assert main(["--wheels", " ".join(map(str, wheels)), "--json"]) == 1
    codes = [finding["code"] for finding in json.loads(capsys.readouterr().out)["findings"]]
    assert "abi-undefined-symbol" in codes


def test_it_stands_alone() -> None:
    """Nothing of the rest of blackstack, and nothing that is not Python's own, is imported."""
    code = "import sys, blackstack.audit; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-S", "-c", code], capture_output=True, text=True, check=True)

    loaded = set(done.stdout.split())
    ours = {name for name in loaded if name.startswith("blackstack.")}
    assert {name for name in ours if not name.startswith("blackstack.audit")} == set()
    assert {"lz4", "zstandard", "packaging", "pydantic", "rich"} & loaded == set()
