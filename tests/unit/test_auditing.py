"""`inv audit` hands its words on to the audit, and refuses what makes no sense."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from blackstack import catalog, plan
from blackstack.errors import BlockedError, UsageError
from blackstack.host import Engine, Host
from blackstack.plan import Wishes
from blackstack.verbs import auditing
from blackstack.verbs.auditing import Answer, Subject, audit


def test_a_folder_of_packages_is_audited_for_the_asked_capability(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pure-1.0.dist-info").mkdir()

    assert audit(Subject(site=str(tmp_path)), Answer(capability="9.0", form="json")) == 0

    assert json.loads(capsys.readouterr().out)["gpu"] == "9.0"


def test_sarif_is_what_code_scanning_reads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "usr/lib/python3.12/site-packages/pure-1.0.dist-info").mkdir(parents=True)

    assert audit(Subject(root=str(tmp_path)), Answer(form="sarif")) == 0

    assert json.loads(capsys.readouterr().out)["version"] == "2.1.0"


def test_a_folder_without_packages_is_a_wrong_folder_and_not_a_fine_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert audit(Subject(site=str(tmp_path)), Answer()) == 2

    assert "is it the right place?" in capsys.readouterr().err


@pytest.mark.parametrize("flag", ["site", "root", "python", "image", "wheels"])
def test_a_target_that_is_not_there_is_wrong_usage_and_no_fine_audit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], flag: str
) -> None:
    assert audit(Subject(**{flag: str(tmp_path / "nowhere.whl")}), Answer()) == 2

    assert f"\n  next: --{flag} takes " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("subject", "answer", "sentence"),
    [
        (Subject(), Answer(), "give one of --stack, --image, --python, --site, --root, --wheels"),
        (Subject(site="a", root="b"), Answer(), "give one of"),
        (Subject(site="a"), Answer(gpu="rtx-5090", capability="12.0"), "--gpu or --for, not both"),
        (Subject(site="a"), Answer(gpu="rtx-6666"), "no GPU called 'rtx-6666'"),
        (Subject(site="a"), Answer(driver="new"), "new"),
    ],
)
def test_nonsense_is_refused_with_the_flags_that_there_are(subject: Subject, answer: Answer, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        audit(subject, answer)


def test_a_stack_that_is_not_here_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    monkeypatch.setattr("blackstack.verbs.auditing.COMPLETE", "never-written")

    with pytest.raises(BlockedError, match="nothing of llamacpp-cpu is here") as caught:
        audit(Subject(stack="llamacpp-cpu"), Answer())

    assert "inv build --stack llamacpp-cpu" in str(caught.value)


def test_a_pinned_image_that_is_here_is_audited(
    repository: Path, host: Host, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = "sha256:" + "a" * 64
    here = replace(host, engine=replace(engine, images=frozenset({f"a/b@{digest}"})))
    wishes = Wishes(runtime="docker", overrides=(f"IMAGE=a/b:1@{digest}",))
    made = plan.make(catalog.load(repository, "toy"), here, wishes, shell_env={})
    monkeypatch.setattr(auditing, "ROOT", repository)
    monkeypatch.setattr(auditing, "planned", lambda *_: (made, here))
    words = ["--image", f"a/b:1@{digest}"]
    monkeypatch.setattr(auditing, "audit_main", lambda given: 0 if given == words else 3)

    assert audit(Subject(stack="toy"), Answer()) == 0


def test_a_stack_that_is_not_built_here_is_to_be_pulled(
    monkeypatch: pytest.MonkeyPatch, host: Host, engine: Engine
) -> None:
    monkeypatch.setattr("blackstack.host.look", lambda _root: replace(host, engine=engine))

    with pytest.raises(BlockedError, match="nothing of vllm-stable is here") as caught:
        audit(Subject(stack="vllm-stable"), Answer())

    assert "docker pull vllm/vllm-openai:" in str(caught.value)
    assert "inv build" not in str(caught.value)
