"""Containers, limits, places, network: what is read, and what is kept out."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from blackstack.facts import Facts, containers, image, limits, network, places, ports
from blackstack.facts.image import ImageFacts
from blackstack.host import Engine, Host

Seen = Mapping[str, Mapping[str, str]]


def test_the_engine_says_how_a_gpu_could_come_in() -> None:
    info = {
        "Runtimes": {"runc": {}, "nvidia": {}},
        "CDISpecDirs": ["/etc/cdi", "/var/run/cdi"],
        "SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless", "name=selinux"],
        "DockerRootDir": "/var/lib/docker",
        "CgroupVersion": "2",
        "CgroupDriver": "systemd",
        "HttpsProxy": "http://proxy.example:3128",
        "RegistryConfig": {"Mirrors": ["https://mirror.example/"]},
    }

    told = containers.read_info(info, "unix:///run/user/1000/docker.sock")

    assert told.runtimes == ("nvidia", "runc")
    assert (told.here, told.rootless, told.selinux, told.proxied) == (True, True, True, True)
    assert told.mirrors == ("https://mirror.example/",)
    assert not containers.read_info({"Runtimes": None, "RegistryConfig": None}, "ssh://server").here


@pytest.mark.parametrize(("name", "version"), [("toolkit", "1.20.1"), ("toolkit-with-commit", "1.17.8")])
def test_the_toolkit_says_its_version(seen: Seen, name: str, version: str) -> None:
    assert containers.read_toolkit_version(seen[name]["text"]) == version


def test_a_cdi_spec_says_for_which_driver_it_was_made(seen: Seen) -> None:
    assert containers.read_cdi("a", seen["cdi"]["text"]) == containers.CdiSpec(path="a", driver="460.91.03")
    assert containers.read_cdi("b", seen["cdi-wsl"]["text"]) == containers.CdiSpec(path="b", driver="")
    assert containers.read_cdi("c", '{"kind": "nvidia.com/gpu", "x": "/lib/libcuda.so.580.95.05"}') is not None
    assert containers.read_cdi("d", "kind: example.com/disk\n") is None


def test_the_least_limit_of_all_cgroups_above_counts_in_version_2(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/a.slice/b.scope\n")
    inner = tmp_path / "sys/fs/cgroup/a.slice/b.scope"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    (inner.parent / "memory.max").write_text("1073741824\n")
    (inner / "pids.max").write_text("512\n")

    told = limits.look(tmp_path)

    assert (told.cgroup_version, told.cgroup_memory_bytes, told.cgroup_pids) == (2, 1 << 30, 512)


def test_inside_a_container_the_mount_itself_is_our_cgroup_in_version_1(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/docker/abc\n8:pids:/docker/abc\n0::/\n")
    for controller in ("memory", "pids"):
        (tmp_path / "sys/fs/cgroup" / controller).mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text("536870912\n")
    (tmp_path / "sys/fs/cgroup/pids/pids.max").write_text("max\n")

    told = limits.look(tmp_path)

    assert (told.cgroup_version, told.cgroup_memory_bytes, told.cgroup_pids) == (1, 512 << 20, None)


def test_no_limit_in_version_1_is_a_number_near_the_largest(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/\n")
    (tmp_path / "sys/fs/cgroup/memory").mkdir(parents=True)
    (tmp_path / "sys/fs/cgroup/memory/memory.limit_in_bytes").write_text("9223372036854771712\n")

    assert limits.look(tmp_path).cgroup_memory_bytes is None


def test_a_token_is_found_and_never_told(tmp_path: Path) -> None:
    told = places.look({"HF_HOME": str(tmp_path), "HF_TOKEN": "hf_secret"})

    assert told.token == "HF_TOKEN"  # noqa: S105 - the variable's name
    assert "secret" not in str(asdict(told))

    (tmp_path / "token").write_text("hf_secret")
    assert places.look({"HF_HOME": str(tmp_path)}).token == str(tmp_path / "token")
    assert places.look({"HF_HOME": str(tmp_path / "none")}).token == ""


def test_what_lies_in_the_cache_counts_once(tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (tmp_path / "blobs/a").write_bytes(b"x" * 1000)
    (tmp_path / "snapshot").symlink_to("blobs/a")

    assert 1000 <= places.size(str(tmp_path)) < 1100


def test_passwords_of_proxies_and_mirrors_are_left_out(tmp_path: Path) -> None:
    env = {
        "HTTPS_PROXY": "http://me:secret@proxy.example:3128",
        "PIP_INDEX_URL": "https://me:secret@index.example/simple",
        "SSL_CERT_FILE": str(tmp_path / "no.pem"),
    }

    told = network.look(env)

    assert "secret" not in str(told)
    assert told.proxies == {"https": "http://proxy.example:3128"}
    assert told.missing == (f"SSL_CERT_FILE={tmp_path}/no.pem",)
    assert told.loopback_goes_through_proxy
    assert not network.look({**env, "no_proxy": "localhost,127.0.0.1"}).loopback_goes_through_proxy


@pytest.mark.parametrize(
    ("text", "kept"), [("NTPSynchronized=yes\n", True), ("NTPSynchronized=no\n", False), ("", None)]
)
def test_the_clock_is_kept_or_not_or_nobody_says(text: str, kept: bool | None) -> None:  # noqa: FBT001
    assert network.read_clock(f"Timezone=Etc/UTC\nCanNTP=yes\n{text}") is kept


def test_the_holder_of_a_port_is_named() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()

        assert "(process " in ports.holder(taken.getsockname()[1])


def test_a_fact_is_looked_for_once_and_only_when_asked_for(
    tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks: list[str] = []
    monkeypatch.setattr("blackstack.facts.all.limits.look", lambda: looks.append("limits"))
    facts = Facts(tmp_path, host)
    assert not looks

    assert facts.limits is facts.limits

    assert looks == ["limits"]
    assert facts.engine is None  # without an engine nobody is asked


def test_a_pinned_image_that_is_here_is_asked_about_here(
    host: Host, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "sha256:" + "a" * 64
    pinned = f"vllm/vllm-openai:v0.29.0@{digest}"
    monkeypatch.setattr(image, "of_engine", lambda name: ImageFacts(name=name, source="engine", cuda="13.0"))
    here = replace(host, engine=replace(engine, images=frozenset({f"vllm/vllm-openai@{digest}"})))

    assert Facts(tmp_path, here).image(pinned).cuda == "13.0"
    assert "not here" in Facts(tmp_path, here).image(pinned.replace("a" * 64, "b" * 64)).unknown
