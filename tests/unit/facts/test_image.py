"""An image that is not here is asked about: its registry tells the doctor, or why it does not."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from blackstack.facts import image
from tests.unit.fake_registry import FakeRegistry

ENV = ["PATH=/usr/bin", "CUDA_VERSION=13.0.2", "NVIDIA_REQUIRE_CUDA=cuda>=13.0 brand=tesla,driver>=535,driver<536"]


@pytest.fixture
def there(there: FakeRegistry, monkeypatch: pytest.MonkeyPatch) -> FakeRegistry:
    """A registry that wants to be shown a token, and somebody on an ordinary PC who asks it."""
    monkeypatch.setattr("platform.machine", lambda: "x86_64")
    there.token = "anybody"  # noqa: S105 - it opens nothing
    return there


def test_cuda_is_read_from_the_configuration_without_pulling_a_layer(there: FakeRegistry) -> None:
    there.put("v1", index=True, env=ENV)

    told = image.of_registry(f"{there.host}/a/b:v1")

    assert (told.source, told.cuda, told.unknown, told.problem) == ("registry", "13.0.2", "", "")
    assert told.require.startswith("cuda>=13.0 brand=tesla")
    assert len([line for line in there.asked if "blobs" in line]) == 1


def test_a_tag_that_is_not_there_is_missing(there: FakeRegistry) -> None:
    told = image.of_registry(f"{there.host}/a/b:nightly-gone")

    assert told.problem == "missing"
    assert "a/b:nightly-gone" in told.unknown


def test_an_image_for_other_machines_is_missing_too(there: FakeRegistry) -> None:
    there.put("v1", platform="linux/arm64", index=True)

    assert image.of_registry(f"{there.host}/a/b:v1").problem == "missing"


@pytest.mark.parametrize("body", [b"{}", b"null", b'["x"]', b'{"manifests": ["x"]}', b'{"config": "x"}', b"<html>"])
def test_an_answer_that_makes_no_sense_is_strange(there: FakeRegistry, body: bytes) -> None:
    there.manifests["v1"] = (body, "")

    told = image.of_registry(f"{there.host}/a/b:v1")

    assert told.problem == "strange"
    assert told.unknown


def test_variables_that_are_no_list_are_strange(there: FakeRegistry) -> None:
    there.put("v1", env=7)

    assert image.of_registry(f"{there.host}/a/b:v1").problem == "strange"


def test_a_name_that_is_none_is_strange() -> None:
    assert image.of_registry("UPPER/case:1").problem == "strange"


@pytest.mark.parametrize(("status", "problem"), [(403, "private"), (429, "rate-limit"), (503, "strange")])
def test_a_registry_that_does_not_tell_says_why(there: FakeRegistry, status: int, problem: str) -> None:
    there.status = status

    told = image.of_registry(f"{there.host}/a/b:v1")

    assert told.problem == problem
    assert there.host in told.unknown


def test_an_image_is_private_only_to_those_whom_docker_did_not_log_in(there: FakeRegistry, docker_config: Path) -> None:
    secret = base64.b64encode(b"me:hush").decode()
    there.login, _ = f"Basic {secret}", there.put("v1", env=ENV)
    assert image.of_registry(f"{there.host}/a/b:v1").problem == "private"

    docker_config.write_text(json.dumps({"auths": {there.host: {"auth": secret}}}))

    assert image.of_registry(f"{there.host}/a/b:v1").cuda == "13.0.2"


def test_a_credential_helper_that_fails_is_told_and_raises_nothing(there: FakeRegistry, docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"credHelpers": {there.host: "of-nobody"}}))

    told = image.of_registry(f"{there.host}/a/b:v1")

    assert told.problem == "private"
    assert "credential helper" in told.unknown


def test_clocks_are_compared_on_the_way(there: FakeRegistry) -> None:
    there.put("v1")
    assert abs(image.of_registry(f"{there.host}/a/b:v1").clock_off_s or 0) < 60

    there.behind_s = 3600

    assert 3500 < (image.of_registry(f"{there.host}/a/b:v1").clock_off_s or 0) < 3700


def test_a_registry_that_nobody_knows_is_told_from_one_that_does_not_answer() -> None:
    nobody = image.of_registry("registry.invalid/a/b:c", patience_s=2)
    assert nobody.problem in {"dns", "unreachable"}  # a proxy resolves it
    assert nobody.clock_off_s is None

    told = image.of_registry("127.0.0.1:9/a/b:c", patience_s=2)

    assert told.problem == "unreachable"
    assert "nobody listens there" in told.unknown
