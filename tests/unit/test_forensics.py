"""What a death leaves outside of its log is found, and what may not be looked at is said."""

from __future__ import annotations

import os
import resource
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from blackstack import forensics
from blackstack.runtime.docker import _event

XID = "NVRM: Xid (PCI:0000:01:00): 31, pid=77, name=python3, MMU Fault"


def kmsg(folder: Path, record: tuple[float, str]) -> Path:
    """Write a kernel log of one line, said so many seconds ago; a read of the device gives one record too."""
    ago, text = record
    stamp = int((time.clock_gettime(time.CLOCK_MONOTONIC) - ago) * 1e6)
    path = folder / "kmsg"
    path.write_text(f"6,1,{stamp},-;{text}\n SUBSYSTEM=pci\n")
    return path


def seconds_ago(seconds: float) -> str:
    """Return a time of before as records have it."""
    return (datetime.now(tz=UTC) - timedelta(seconds=seconds)).isoformat(timespec="seconds")


def test_a_fault_of_the_card_is_found(tmp_path: Path) -> None:
    assert forensics.kernel_log(seconds_ago(60), (), kmsg(tmp_path, (5, XID))) == ((XID,), "")


def test_what_the_kernel_said_before_the_server_started_is_left_out(tmp_path: Path) -> None:
    assert forensics.kernel_log(seconds_ago(0), (), kmsg(tmp_path, (30, XID))) == ((), "")


@pytest.mark.parametrize(("marks", "found"), [(("pid=7631,",), True), (("pid=1,", "abc"), False)])
def test_a_kill_of_another_process_is_left_out(tmp_path: Path, marks: tuple[str, ...], *, found: bool) -> None:
    line = "oom-kill:constraint=CONSTRAINT_MEMCG,task_memcg=/docker/37f0,task=python3,pid=7631,uid=10001"

    lines, _ = forensics.kernel_log(seconds_ago(60), marks, kmsg(tmp_path, (5, line)))

    assert bool(lines) is found


def test_small_talk_of_the_kernel_is_left_out(tmp_path: Path) -> None:
    path = kmsg(tmp_path, (5, "docker0: port 1(veth5945d2d) entered blocking state"))

    assert forensics.kernel_log(seconds_ago(60), ("docker0",), path) == ((), "")


def test_a_log_that_cannot_be_read_is_a_fact(tmp_path: Path) -> None:
    assert forensics.kernel_log(seconds_ago(60), (), tmp_path / "none") == (
        (),
        f"{tmp_path / 'none'}: No such file or directory",
    )


@pytest.mark.skipif(not os.access("/dev/kmsg", os.R_OK), reason="the kernel's log may not be read here")
def test_the_real_log_is_read_to_its_end() -> None:
    lines, why_not = forensics.kernel_log("1970-01-01T00:00:00+00:00", ())

    assert why_not == ""
    assert len(lines) <= forensics.SHOWN_LINES


@pytest.mark.parametrize(
    ("group", "place", "text", "counted"),
    [
        (
            "0::/system.slice/x",
            "system.slice/x/memory.events",
            "low 0\nmax 12\noom_kill 1\n",
            {"max": 12, "oom_kill": 1},
        ),
        ("4:memory:/docker/x", "memory/docker/x/memory.oom_control", "under_oom 0\noom_kill 2\n", {"oom_kill": 2}),
        ("3:cpu:/docker/x", "memory.events", "oom_kill 1\n", {}),
        ("0::/x", "elsewhere", "", {}),
    ],
    ids=["version 2", "version 1", "another controller", "not to be seen"],
)
def test_the_counters_of_a_memory_cgroup_are_read(
    tmp_path: Path, group: str, place: str, text: str, counted: dict[str, int]
) -> None:
    (tmp_path / "proc/7").mkdir(parents=True)
    (tmp_path / "proc/7/cgroup").write_text(f"{group}\n")
    path = tmp_path / "cgroups" / place
    path.parent.mkdir(parents=True)
    path.write_text(text)

    found = forensics.memory_counters(7, tmp_path / "cgroups", tmp_path / "proc")

    assert {name: number for name, number in found.items() if number} == counted


def test_a_process_that_is_gone_has_no_counters(tmp_path: Path) -> None:
    assert forensics.memory_counters(7, tmp_path, tmp_path) == {}


def test_only_what_has_grown_counts() -> None:
    assert forensics.grown({"oom_kill": 3, "max": 1}, {"oom_kill": 4, "max": 1, "low": 2}) == {"oom_kill": 1, "low": 2}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [("|/usr/share/apport/apport -p%p", "handed to /usr/share/apport/apport"), ("core", "")],
)
def test_where_a_core_dump_goes_is_said(tmp_path: Path, pattern: str, said: str) -> None:
    file = tmp_path / "core_pattern"
    file.write_text(f"{pattern}\n")

    assert forensics.core_dump(77, tmp_path, file) in {said, "none: `ulimit -c` is 0"}


def test_a_core_file_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (-1, -1))
    file = tmp_path / "core_pattern"
    file.write_text(f"{tmp_path}/core.%e.%p\n")
    (tmp_path / "core.python3.77").touch()

    assert forensics.core_dump(77, tmp_path, file) == f"{tmp_path}/core.python3.77"


@pytest.mark.parametrize(
    ("number", "said"), [("9", "kill (SIGKILL)"), ("37", "kill (signal 37)"), ("SIGTERM", "kill (SIGTERM)")]
)
def test_a_signal_that_has_no_name_is_told_by_its_number(number: str, said: str) -> None:
    assert _event({"Action": "kill", "Actor": {"Attributes": {"signal": number}}}) == said
