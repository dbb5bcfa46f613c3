"""What is certain to fail is said before anything starts."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, change, doctor, plan
from blackstack.doctor import Case
from blackstack.doctor.checks import room, setup
from blackstack.errors import BlockedError
from blackstack.facts import Facts, ports
from blackstack.host import Engine, Host
from blackstack.plan import Wishes
from tests.unit.conftest import REPOSITORY


def made_for(repository: Path, host: Host, *overrides: str) -> plan.Plan:
    """Plan the toy as a process."""
    return plan.make(
        catalog.load(repository, "toy"), host, Wishes(runtime="process", overrides=overrides), shell_env={}
    )


def test_a_port_that_is_taken_blocks_and_the_next_free_one_is_offered(repository: Path, host: Host) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]

        with pytest.raises(BlockedError, match=f"port {port} is taken by") as caught:
            doctor.refuse_if_blocked(made_for(repository, host, f"PORT={port}"), host)

        assert str(caught.value).count("--set PORT=") == 1
        assert f"--set PORT={port}" not in str(caught.value)
        assert ports.next_free("127.0.0.1", port) != port


def test_an_address_of_another_machine_cannot_be_listened_on(
    repository: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = replace(made_for(repository, host))
    monkeypatch.setattr(plan.Plan, "bind", "192.0.2.1")  # TEST-NET-1: nobody's

    finding = setup.check_port(Case(host=host, facts=Facts(repository, host), plan=made))

    assert finding
    assert finding.code == "address-unusable"


@pytest.mark.parametrize("address", ["localhost", "::1"])
def test_what_docker_cannot_publish_on_is_said(repository: Path, host: Host, engine: Engine, address: str) -> None:
    with_engine = replace(host, engine=replace(engine, images=frozenset({"toy:1"})))
    wishes = Wishes(runtime="docker", overrides=(f"BIND_ADDRESS={address}",))
    made = plan.make(catalog.load(repository, "toy"), with_engine, wishes, shell_env={})

    with pytest.raises(BlockedError, match="Docker cannot publish on"):
        doctor.refuse_if_blocked(made, with_engine)


def test_a_knob_of_the_build_without_a_build_is_a_warning(repository: Path, host: Host, engine: Engine) -> None:
    with_engine = replace(host, engine=replace(engine, images=frozenset({"toy:1"})))
    port = ports.next_free("127.0.0.1", 20000)
    wishes = Wishes(runtime="docker", overrides=("BASE_IMAGE=other:1", f"PORT={port}"))
    made = plan.make(catalog.load(repository, "toy"), with_engine, wishes, shell_env={})

    assert [finding.code for finding in doctor.findings(made, with_engine)] == ["build-knob-without-build"]


def test_too_little_disk_blocks(repository: Path, host: Host) -> None:
    poor = replace(host, disk_free_bytes=1 << 20)

    with pytest.raises(BlockedError, match=r"too little disk: toy needs 0\.1 GiB"):
        doctor.refuse_if_blocked(made_for(repository, poor), poor)


def test_too_little_memory_is_a_warning(repository: Path, host: Host) -> None:
    poor = replace(host, memory_bytes=1 << 20)

    (finding,) = doctor.refuse_if_blocked(made_for(repository, poor), poor)

    assert finding.code == "memory"
    assert finding.fix[0] == "a smaller model"


def test_advice_for_too_little_memory_names_the_knob_that_the_stack_has(host: Host) -> None:
    poor = replace(host, memory_bytes=1 << 20)
    made = plan.make(catalog.load(REPOSITORY, "llamacpp-cpu"), poor, Wishes(runtime="process"), shell_env={})

    finding = room.check_memory(Case(host=poor, facts=Facts(REPOSITORY, poor), plan=made))

    assert finding
    assert finding.fix[0] == "a smaller CTX_SIZE or model"


def test_a_stack_without_a_gpu_never_loads_nvml_nor_asks_for_the_toolkit(
    repository: Path, host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse() -> None:
        raise AssertionError("somebody looked")

    monkeypatch.setattr("blackstack.facts.all.gpus.look", refuse)
    monkeypatch.setattr("blackstack.facts.all.driver.look", refuse)
    monkeypatch.setattr("blackstack.facts.all.containers.look_at_toolkit", refuse)
    made = made_for(repository, host, f"PORT={ports.next_free('127.0.0.1', 20000)}")

    assert list(doctor.findings(made, host)) == []
    assert doctor.examine(Case(host=host, facts=Facts(repository, host), plan=made)).fine


def test_a_machine_that_has_what_it_takes_gets_no_finding(repository: Path, host: Host) -> None:
    free = ports.next_free("127.0.0.1", 20000)

    assert list(doctor.findings(made_for(repository, host, f"PORT={free}"), host)) == []


def test_a_change_that_was_killed_half_way_blocks_until_it_is_at_its_end(repository: Path, host: Host) -> None:
    journal = repository / ".blackstack/run/toy/change.json"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"says": "promote toy:2", "files": {}, "tags": {}}')

    with pytest.raises(BlockedError, match="was killed half-way"):
        doctor.refuse_if_blocked(made_for(repository, host), host)

    assert change.mend(repository, "toy") == "promote toy:2"
    made = made_for(repository, host)
    assert setup.check_unfinished_change(Case(host=host, facts=Facts(repository, host), plan=made)) is None
