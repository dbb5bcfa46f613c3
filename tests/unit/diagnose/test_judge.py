"""A root cause beats its consequences, a fact beats a line, and a healthy log is left in peace."""

from __future__ import annotations

import re

import pytest

from blackstack.diagnose import ExitFacts, diagnose
from blackstack.diagnose.judge import known
from blackstack.diagnose.signatures import load

LIBNUMA = "ImportError: libnuma.so.1: cannot open shared object file: No such file or directory"
WRAPPER = "RuntimeError: Engine core initialization failed. See root cause above. Failed core proc(s): {}"
SERVING = "INFO:     Application startup complete."
ANSWERED = 'INFO:     127.0.0.1:5000 - "POST /v1/completions HTTP/1.1" 200 OK'


def codes(*lines: str, **facts: object) -> list[str]:
    given = ExitFacts.from_mapping(facts) if facts else None
    return [finding.code for finding in diagnose(lines, given)]


def test_a_healthy_log_has_no_findings() -> None:
    assert codes("INFO Automatically detected platform cuda.", SERVING, ANSWERED) == []


def test_nothing_at_all_has_no_findings() -> None:
    assert codes() == []


def test_the_messenger_is_not_named_when_the_cause_is_known() -> None:
    assert codes(LIBNUMA, WRAPPER) == ["libnuma-missing"]


def test_the_messenger_is_named_when_it_is_all_there_is() -> None:
    assert codes("Traceback (most recent call last):", WRAPPER) == ["engine-core-failed-no-root-cause"]


def test_a_consequence_is_told_after_its_cause_wherever_it_stands() -> None:
    nms = "RuntimeError: CUDA error: no kernel image is available for execution on the device"
    torch = "RTX 5090 with CUDA capability sm_120 is not compatible with the current PyTorch installation."

    assert codes(nms, torch) == ["torch-wheel-lacks-sm120", "extension-lacks-arch"]


def test_the_very_cause_is_told_before_a_vague_one() -> None:
    vague, exact = "TypeError: plan() got an unexpected keyword argument 'x'", LIBNUMA

    assert codes(vague, exact) == ["libnuma-missing", "plugin-signature-mismatch"]


def test_a_warning_of_the_start_is_forgotten_when_the_server_served() -> None:
    warning = "WARNING Failed to import from vllm._C with ModuleNotFoundError(\"No module named 'vllm._C'\")"

    assert codes(warning, SERVING) == []
    assert codes(SERVING, warning) == ["vllm-ops-not-registered"]


def test_an_error_after_the_start_is_not_forgotten() -> None:
    assert codes(SERVING, "CUDA error: an illegal memory access was encountered") == ["cuda-illegal-memory-access"]


def test_patterns_that_belong_together_must_stand_near_each_other() -> None:
    near = [
        "OSError: [Errno 28] No space left on device",
        "  File multiprocessing/shared_memory.py, line 104",
    ]

    assert codes(*near)[0] == "shm-too-small"
    assert codes(near[0], *["..."] * 100, near[1])[0] == "disk-full"


def test_evidence_names_its_lines_and_is_short() -> None:
    (finding,) = diagnose([*["fine"] * 9, "x" * 5000 + " " + LIBNUMA])

    assert finding.evidence[0].startswith("line 10: … ")
    assert LIBNUMA[:60] in finding.evidence[0]
    assert len(finding.evidence[0]) < 300


def test_each_finding_says_what_to_do_and_how_to_see_that_it_helped() -> None:
    (finding,) = diagnose([LIBNUMA])

    assert finding.fix == ("apt-get install -y libnuma1  # in the image",)
    assert finding.verify
    assert finding.source


def test_findings_speak_korean_when_asked() -> None:
    (finding,) = diagnose([LIBNUMA], language="ko")

    assert finding.title == "libnuma가 없습니다"
    assert finding.fix == ("apt-get install -y libnuma1  # 이미지 안에",)


@pytest.mark.parametrize(
    ("facts", "code"),
    [
        ({"exit_code": 139}, "native-segfault"),
        ({"exit_code": -11}, "native-segfault"),
        ({"signal": "SEGV"}, "native-segfault"),
        ({"exit_code": 134}, "native-abort"),
        ({"exit_code": 137, "oom_killed": True}, "host-oom-killed"),
        ({"exit_code": 137}, "killed-from-outside"),
        ({"exit_code": 143}, "stopped-from-outside"),
        ({"exit_code": 135}, "shm-too-small"),
        ({"exit_code": 1}, "unknown"),
    ],
)
def test_a_silent_death_ends_in_a_verdict(facts: dict[str, object], code: str) -> None:
    assert [code] == codes(SERVING, **facts)


def test_an_end_that_we_asked_for_is_no_finding() -> None:
    assert codes(SERVING, exit_code=143, asked_to_stop=True) == []
    assert codes(SERVING, exit_code=0) == []


def test_the_verdict_says_what_the_signal_meant_at_that_stage() -> None:
    (first_request,) = diagnose([SERVING], ExitFacts(exit_code=139))
    (importing,) = diagnose(["INFO Automatically detected platform cuda."], ExitFacts(exit_code=139))

    assert "first request" in first_request.cause
    assert "while importing" in importing.cause
    assert first_request.evidence == ("it ended with exit code 139, SIGSEGV at stage «serving»",)


def test_whoever_watched_the_start_knows_the_stage_best() -> None:
    (finding,) = diagnose([SERVING], ExitFacts(exit_code=139, stage="import"))

    assert "while importing" in finding.cause


def test_the_next_experiment_is_a_command() -> None:
    (finding,) = diagnose([SERVING], ExitFacts(exit_code=139))

    assert finding.fix[0].startswith("CUDA_LAUNCH_BLOCKING=1 PYTHONFAULTHANDLER=1 vllm serve MODEL")


def test_a_cause_in_the_log_beats_the_signal_and_is_borne_out_by_it() -> None:
    (finding, *_) = diagnose([LIBNUMA], ExitFacts(exit_code=139))

    assert finding.code == "libnuma-missing"
    assert "it ended with exit code 139, SIGSEGV" in finding.evidence


def test_a_messenger_and_a_signal_make_a_verdict() -> None:
    assert codes(WRAPPER, exit_code=139) == ["native-segfault"]


def test_the_oom_killer_is_a_fact_and_beats_what_the_log_says() -> None:
    assert codes(LIBNUMA, exit_code=137, oom_killed=True)[0] == "host-oom-killed"


def test_what_ends_badly_for_no_known_reason_is_called_unknown() -> None:
    (finding,) = diagnose(["start", "Traceback (most recent call last):", "OddError: the moon is full"])

    assert finding.code == "unknown"
    assert "at the end: OddError: the moon is full" in finding.evidence
    assert "--bundle" in finding.fix[0]


def test_a_traceback_that_the_server_survived_is_no_finding() -> None:
    assert codes("Traceback (most recent call last):", "OddError: the moon is full", SERVING) == []


def test_when_the_server_died_afterwards_it_is() -> None:
    assert codes(SERVING, "Traceback (most recent call last):", "OddError: the moon is full") == ["unknown"]


def test_a_fault_of_the_card_explains_a_crash() -> None:
    xid = "NVRM: Xid (PCI:0000:01:00): 79, GPU has fallen off the bus."

    assert codes(SERVING, exit_code=134, kernel=[xid]) == ["gpu-xid-fault"]
    assert codes(SERVING, kernel=[xid]) == []  # it did not die


def test_the_kernel_knows_who_killed_a_process_that_had_no_container() -> None:
    killed = "oom-kill:constraint=CONSTRAINT_NONE,nodemask=(null),task=python3,pid=77,uid=0"

    assert codes("loading", exit_code=-9) == ["killed-from-outside"]
    assert codes("loading", exit_code=-9, kernel=[killed]) == ["host-oom-killed"]
    assert codes("loading", exit_code=-9, memory={"oom_kill": 1}) == ["host-oom-killed"]


def test_a_neighbour_that_was_killed_for_memory_explains_no_crash() -> None:
    assert codes("loading", exit_code=-11, memory={"oom_kill": 1}) == ["native-segfault"]


def test_exit_code_0_is_a_fault_before_the_server_has_served_and_none_after() -> None:
    assert codes("loading", exit_code=0, stage="weights") == ["exited-without-error"]
    assert codes(SERVING, exit_code=0, stage="first-completion") == []
    assert codes("loading", exit_code=0, stage="weights", asked_to_stop=True) == []


def test_who_asked_a_server_to_end_is_told_though_it_ended_well() -> None:
    assert codes(SERVING, exit_code=0, signal="SIGTERM", stage="first-completion") == ["stopped-from-outside"]


def test_what_was_seen_from_outside_is_said_after_what_the_log_explains() -> None:
    assert codes(SERVING, outside="garbage-output") == ["garbage-output"]
    assert codes(LIBNUMA, outside="hung-behind-health") == ["libnuma-missing", "hung-behind-health"]


def test_every_fact_of_a_death_is_evidence() -> None:
    facts = ExitFacts(
        exit_code=139,
        events=("kill (SIGSEGV)", "die (exit code 139)"),
        restarts=2,
        quiet_s=43.2,
        core_dump="coredumpctl info 77",
        kernel_unread="/dev/kmsg: Operation not permitted",
    )

    (finding,) = diagnose([SERVING], facts)

    assert finding.evidence == (
        "it ended with exit code 139, SIGSEGV at stage «serving»",
        "its container: kill (SIGSEGV), die (exit code 139)",
        "it had been started again 2 time(s)",
        "it had said nothing for 43 s",
        "core dump: coredumpctl info 77",
        "the kernel's log could not be read: /dev/kmsg: Operation not permitted",
    )


def test_a_command_is_advised_once() -> None:
    (finding,) = diagnose(["loading"], ExitFacts(exit_code=134, stage="weights"))

    commands = [advice.partition("  #")[0] for advice in finding.fix]
    assert len(commands) == len(set(commands))


FREE = "ValueError: Free memory on device cuda:0 (10.13/31.36 GiB) on startup is less than desired GPU memory"


@pytest.mark.parametrize(
    ("log", "said"),
    [
        (FREE, "vllm serve MODEL --gpu-memory-utilization 0.32  # "),  # 10.13 / 31.36 is 0.323
        (FREE.replace("10.13", "31.0"), "vllm serve MODEL --gpu-memory-utilization 0.98  # "),
        (FREE.replace("(10.13/31.36 GiB) ", ""), "nvidia-smi --query-gpu=memory.free,memory.total --format=csv  # "),
    ],
)
def test_what_is_free_is_computed_from_the_log_and_else_the_way_to_it_is_said(log: str, said: str) -> None:
    (finding,) = diagnose([log])

    assert finding.code == "gpu-memory-already-in-use"
    assert len(finding.fix) == 3
    assert finding.fix[-1].startswith(said)


# Only a container, its engine or a registry brings these about: there is no other name for their commands.
OF_DOCKER = re.compile(r"nvidia-(?:container|runtime)|cdi-|compose-|docker-|image-|nightly-tag|registry-rate")


def test_a_server_without_docker_gets_no_command_of_docker_s() -> None:
    catalogue = load()
    facts = ExitFacts(runtime="process", stack="toy")

    for signature in catalogue.signatures:
        if not OF_DOCKER.match(signature.code):
            finding = known(catalogue, signature.code, (), facts=facts)
            commands = [step.partition("  # ")[0] for step in (*finding.fix, finding.verify)]
            assert [command for command in commands if re.search(r"\bdocker\b", command)] == []
            assert finding.fix, signature.code
            assert "{" not in "".join(step for step in finding.fix if step.startswith("inv")), finding.fix


def test_each_row_of_commands_without_docker_is_used() -> None:
    catalogue = load()
    deaths = (advice.run for death in catalogue.deaths for advice in death.next)
    commands = [*deaths, *(text for s in catalogue.signatures for text in (s.verify, *(a.run for a in s.fix)))]

    assert [row for row in catalogue.without_docker if not any(c.startswith(row.docker) for c in commands)] == []


def test_a_server_that_still_runs_is_to_be_asked_when_its_log_is_in_order() -> None:
    assert diagnose([SERVING]) == ()
    (finding,) = diagnose([SERVING], ExitFacts(alive=True, stack="toy"))

    assert (finding.code, finding.severity) == ("running-not-asked", "info")
    assert finding.verify == "inv watch --once --stack toy"
