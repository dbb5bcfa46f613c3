"""What a registry says is one of three: it is there, it is not, or nobody could be asked."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
import requests
from hypothesis import given
from hypothesis import strategies as st

from blackstack.errors import UsageError
from blackstack.registry import NotThereError, Reference, Registry, RegistryError, parse
from blackstack.registry.access import login_for

from .fake_registry import FAR_TOO_MUCH, FakeRegistry


def log_in(path: Path, registry: str, user: str, password: str) -> None:
    """Note what `docker login` would."""
    secret = base64.b64encode(f"{user}:{password}".encode()).decode()
    path.write_text(json.dumps({"auths": {registry: {"auth": secret}}}))


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag"),
    [
        ("python", "docker.io", "library/python", None),
        ("vllm/vllm-openai:nightly", "docker.io", "vllm/vllm-openai", "nightly"),
        ("docker.io/vllm/vllm-openai:v0.11.0", "docker.io", "vllm/vllm-openai", "v0.11.0"),
        ("index.docker.io/a/b", "docker.io", "a/b", None),
        ("localhost/a:1", "localhost", "a", "1"),
        ("127.0.0.1:5000/a/b:1", "127.0.0.1:5000", "a/b", "1"),
        ("[::1]:5000/a:1", "[::1]:5000", "a", "1"),
        ("example.org/deep/er/name", "example.org", "deep/er/name", None),
    ],
)
def test_a_name_is_taken_apart_as_docker_does(text: str, registry: str, repository: str, tag: str | None) -> None:
    found = parse(text)

    assert (found.registry, found.repository, found.tag) == (registry, repository, tag)
    assert str(found) == text


@pytest.mark.parametrize(
    "text", ["", "UPPER/case:1", "a b", "a:1:2", "a@sha256:12", "../etc", "sha256:" + "a" * 64, "a\n"]
)
def test_what_is_no_name_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is no image's name"):
        parse(text)


@given(st.from_regex(r"\A[a-z0-9]{1,9}(/[a-z0-9._-]{1,9}){0,2}(:[\w.-]{1,9})?(@sha256:[0-9a-f]{64})?\Z"))
def test_a_name_is_written_as_it_was_read(text: str) -> None:
    try:
        found = parse(text)
    except UsageError:
        return
    assert str(found) == text
    assert parse(str(found)) == found


def image(there: FakeRegistry, tag: str = "1") -> Reference:
    """Return a name in it."""
    return parse(f"{there.host}/a/b:{tag}")


@pytest.mark.parametrize("index", [True, False])
def test_a_tag_has_a_digest_and_machines(there: FakeRegistry, asking: Registry, *, index: bool) -> None:
    digest = there.put("1", index=index)

    found = asking.manifest(image(there))

    assert (found.digest, found.platforms) == (digest, ("linux/s390x", "linux/amd64") if index else ("linux/amd64",))
    assert asking.digest(image(there)) == digest
    assert asking.manifest(image(there).at(tag=None, digest=digest)) == found


def test_what_is_not_there_is_told_from_what_cannot_be_asked(there: FakeRegistry, asking: Registry) -> None:
    with pytest.raises(NotThereError):
        asking.digest(image(there))
    there.status = 503
    with pytest.raises(RegistryError, match="HTTP 503"):
        asking.digest(image(there))
    with pytest.raises(RegistryError, match="could not be asked") as caught:
        asking.digest(parse("127.0.0.1:1/a/b:1"))
    assert "nobody listens there" in str(caught.value)


def test_too_many_questions_are_said_with_the_time_to_wait(there: FakeRegistry, asking: Registry) -> None:
    there.status, there.headers = 429, {"Retry-After": "17"}

    with pytest.raises(RegistryError, match="too many were asked") as caught:
        asking.manifest(image(there))

    assert "again in 17 s" in str(caught.value)


def test_a_token_is_fetched_where_one_is_asked_for(there: FakeRegistry, asking: Registry) -> None:
    there.token, digest = "t0ken", there.put("1")

    assert asking.manifest(image(there)).digest == digest
    assert "/token?service=it&scope=repository%3Aa%2Fb%3Apull" in "".join(there.asked)
    assert asking.digest(image(there)) == digest
    assert len([line for line in there.asked if "/token" in line]) == 1


def test_the_token_is_fetched_with_docker_s_own_login(
    there: FakeRegistry, asking: Registry, docker_config: Path
) -> None:
    there.token, there.login, _ = "t0ken", "Basic " + base64.b64encode(b"me:hush").decode(), there.put("1")
    with pytest.raises(RegistryError, match="does not let us see"):
        asking.digest(image(there))

    log_in(docker_config, there.host, "me", "hush")

    assert asking.digest(image(there))
    assert "hush" not in repr(asking)
    assert "hush" not in repr(login_for(there.host))


def test_an_identity_token_is_exchanged(there: FakeRegistry, asking: Registry, docker_config: Path) -> None:
    there.token, there.login, _ = "t0ken", "refresh_token=long-lived", there.put("1")
    docker_config.write_text(json.dumps({"auths": {there.host: {"auth": "", "identitytoken": "long-lived"}}}))

    assert asking.digest(image(there))


def test_a_registry_with_passwords_gets_the_one_of_docker(
    there: FakeRegistry, asking: Registry, docker_config: Path
) -> None:
    there.basic, there.login, _ = True, "Basic " + base64.b64encode(b"me:hush").decode(), there.put("1")
    log_in(docker_config, there.host, "me", "hush")

    assert asking.digest(image(there))


def test_a_login_for_another_registry_is_not_sent(there: FakeRegistry, asking: Registry, docker_config: Path) -> None:
    there.token, _ = "t0ken", there.put("1")
    log_in(docker_config, "another.example", "me", "hush")

    assert asking.digest(image(there))
    assert not [seen for seen in there.secrets_seen if seen.startswith("Basic")]


def test_a_credential_helper_that_fails_is_said(docker_config: Path) -> None:
    docker_config.write_text(json.dumps({"credHelpers": {"example.org": "of-nobody"}}))

    with pytest.raises(RegistryError, match="credential helper"):
        login_for("example.org")


def test_a_list_of_tags_is_read_to_its_last_page(there: FakeRegistry, asking: Registry) -> None:
    for number in range(5):
        there.put(f"t{number}")

    assert list(asking.tags(image(there))) == ["t0", "t1", "t2", "t3", "t4"]


def test_an_answer_that_is_not_what_its_digest_says_is_not_believed(there: FakeRegistry, asking: Registry) -> None:
    digest, there.lies = there.put("1"), True
    with pytest.raises(RegistryError, match="something else than it said"):
        asking.manifest(image(there))

    there.lies, other = False, there.put("2", content="another")
    there.manifests[digest] = there.manifests[other]
    with pytest.raises(RegistryError, match="something else than it said"):
        asking.manifest(image(there).at(tag=None, digest=digest))


@pytest.mark.parametrize(
    ("body", "sentence"),
    [(b"<html>log in</html>", "no JSON"), (b"[]", "no JSON"), (b"{}", "of a kind"), (b"x" * (5 << 20), "more than")],
)
def test_an_answer_that_is_none_is_said(there: FakeRegistry, asking: Registry, body: bytes, sentence: str) -> None:
    there.manifests["1"] = (body, "text/html")

    with pytest.raises(RegistryError, match=sentence):
        asking.manifest(image(there))


SHAPES: dict[str, object] = {
    "words": {"manifests": ["x"]},
    "mapping": {"manifests": {"x": 1}},
    "text": {"config": "x"},
    "no digest": {"config": {"digest": 7}},
    "a path": {"config": {"digest": "../../secret"}},
    "deep": {"manifests": [{"platform": {"os": "linux", "architecture": "amd64"}, "digest": "../../secret"}]},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_an_answer_of_another_shape_is_said(there: FakeRegistry, asking: Registry, shape: str) -> None:
    there.manifests["1"] = (json.dumps(SHAPES[shape]).encode(), "")

    with pytest.raises(RegistryError, match="shape of a manifest") as caught:
        asking.config(image(there), "linux/amd64")

    assert caught.value.problem == "strange"
    assert "secret" not in "".join(there.asked)


def test_an_answer_without_an_end_is_not_read_to_its_end(there: FakeRegistry, asking: Registry) -> None:
    there.endless = True

    with pytest.raises(RegistryError, match="more than a manifest can be"):
        asking.manifest(image(there))

    assert there.sent < FAR_TOO_MUCH // 4


@pytest.mark.parametrize("index", [True, False])
def test_a_configuration_is_the_one_of_the_machine_that_asks(
    there: FakeRegistry, asking: Registry, *, index: bool
) -> None:
    there.put("1", index=index, env=["A=1"])

    assert asking.config(image(there), "linux/amd64") == {"Env": ["A=1"]}


def test_an_image_for_other_machines_is_not_there(there: FakeRegistry, asking: Registry) -> None:
    there.put("1", platform="linux/arm64", index=True)

    with pytest.raises(NotThereError, match="is not made for linux/amd64"):
        asking.config(image(there), "linux/amd64")


def test_a_configuration_that_is_not_what_its_digest_says_is_not_believed(
    there: FakeRegistry, asking: Registry
) -> None:
    there.put("1", env=["A=1"])
    (digest,) = there.blobs
    there.blobs[digest] += b" "

    with pytest.raises(RegistryError, match="something else than it said"):
        asking.config(image(there), "linux/amd64")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ("Cannot connect to proxy: ProxyError: NameResolutionError", "unreachable"),
        ("SSLError: [SSL: CERTIFICATE_VERIFY_FAILED] self-signed certificate", "certificate"),
        ("NameResolutionError: Failed to resolve", "dns"),
        ("Connection refused", "unreachable"),
        ("a sentence that nobody has heard", "unreachable"),
    ],
)
def test_what_keeps_us_from_asking_has_a_name(
    asking: Registry, monkeypatch: pytest.MonkeyPatch, said: str, problem: str
) -> None:
    def refuse(*_: object, **__: object) -> requests.Response:
        raise requests.ConnectionError(said)

    monkeypatch.setattr(asking.session, "request", refuse)

    with pytest.raises(RegistryError) as caught:
        asking.digest(parse("example.org/a:1"))

    assert caught.value.problem == problem
    assert problem != "unreachable" or "nobody" in str(caught.value) or "proxy" in str(caught.value)


def test_a_registry_elsewhere_is_never_asked_in_the_clear(monkeypatch: pytest.MonkeyPatch, asking: Registry) -> None:
    urls: list[str] = []

    def refuse(_method: str, url: str, **_: object) -> requests.Response:
        urls.append(url)
        raise requests.ConnectionError("[Errno 111] Connection refused")

    monkeypatch.setattr(asking.session, "request", refuse)
    for name in ("example.org/a:1", "vllm/vllm-openai:nightly"):
        with pytest.raises(RegistryError):
            asking.digest(parse(name))

    assert [url.partition(":")[0] for url in urls] == ["https", "https"]
    assert urls[1] == "https://registry-1.docker.io/v2/vllm/vllm-openai/manifests/nightly"
