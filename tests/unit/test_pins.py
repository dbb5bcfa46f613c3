"""A pin is read from a stack's files, held against its registry, and written back with every comment in its place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from dotenv import dotenv_values

from blackstack import catalog, pins
from blackstack.catalog import Stack
from blackstack.errors import BlockedError, UsageError
from blackstack.registry import NotThereError, Registry, parse
from blackstack.verbs import pinning

from .fake_registry import FakeRegistry

COMMIT = "5f70bf18a086007016e948b04aed3b82103a36be"


def pulled(repository: Path, image: str) -> Stack:
    """Return the toy as a stack whose image is pulled."""
    path = repository / "compose/toy.yaml"
    text = path.read_text().replace("  build: {dockerfile: dockerfiles/toy/Dockerfile, args: [BASE_IMAGE]}\n", "")
    text = text.replace("    BASE_IMAGE: {type: text, about: what it is built on}\n", "")
    path.write_text(text.replace("toy:1", image))
    (repository / "env/toy.env").write_text(f"# what is served\nIMAGE={image}\n\n# where\nPORT=8080\n")
    return catalog.load(repository, "toy")


def codes(stack: Stack, asking: Registry) -> dict[str, str]:
    """Return the findings of a check: code and severity."""
    return {finding.code: finding.severity for finding in pins.check(stack, asking)}


def test_a_tag_is_resolved_to_its_digest(there: FakeRegistry, asking: Registry) -> None:
    digest = there.put("v1", index=True)

    found = pins.resolve(parse(f"{there.host}/a/b:v1"), asking)

    assert str(found.image) == f"{there.host}/a/b:v1@{digest}"
    assert found.platforms == ("linux/s390x", "linux/amd64")
    assert not found.note


@pytest.mark.parametrize("moving", ["nightly", "cu129-nightly"])
def test_a_nightly_gets_the_tag_that_stays(there: FakeRegistry, asking: Registry, moving: str) -> None:
    there.put(f"{moving}-{'0' * 40}", content="older")
    digest = there.put(f"{moving}-{COMMIT}")
    there.manifests[moving] = there.manifests[digest]

    for named in (moving, f"{moving}-{'0' * 40}"):  # pinned again, an older one moves on
        found = pins.resolve(parse(f"{there.host}/a/b:{named}"), asking)
        assert str(found.image) == f"{there.host}/a/b:{moving}-{COMMIT}@{digest}"


def test_a_nightly_without_a_tag_that_stays_is_pinned_and_it_is_said(there: FakeRegistry, asking: Registry) -> None:
    digest = there.put("nightly")
    there.put(f"nightly-{COMMIT}", content="another")

    found = pins.resolve(parse(f"{there.host}/a/b:nightly"), asking)

    assert str(found.image) == f"{there.host}/a/b:nightly@{digest}"
    assert found.note == "none of the 1 tags nightly-<commit> has this digest"


def test_an_image_for_other_machines_is_not_pinned(there: FakeRegistry, asking: Registry) -> None:
    there.put("1", platform="linux/arm64")

    with pytest.raises(BlockedError, match="has nothing for linux/amd64") as caught:
        pins.resolve(parse(f"{there.host}/a/b:1"), asking)

    assert "it is for linux/arm64" in str(caught.value)


def test_a_tag_that_is_not_there_is_no_pin(there: FakeRegistry, asking: Registry) -> None:
    with pytest.raises(NotThereError):
        pins.resolve(parse(f"{there.host}/a/b:1"), asking)


def test_a_pin_that_stands_yields_nothing(repository: Path, there: FakeRegistry, asking: Registry) -> None:
    digest = there.put("1", index=True)

    assert codes(pulled(repository, f"{there.host}/a/b:1@{digest}"), asking) == {}


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda there, _: there.put("1", content="new"), {"pin-moved": "error"}),
        (lambda there, _: there.forget("1"), {"pin-tag-vanished": "error"}),
        (lambda there, digest: (there.forget("1"), there.forget(digest)), {"pin-vanished": "error"}),
        (lambda there, _: setattr(there, "status", 503), {"pin-not-checked": "error"}),
        (lambda there, _: setattr(there, "status", 429), {"pin-not-checked": "error"}),
        (lambda there, _: setattr(there, "status", 401), {"pin-not-checked": "error"}),
    ],
)
def test_what_became_of_a_pin_is_said(
    repository: Path, there: FakeRegistry, asking: Registry, change: object, found: dict[str, str]
) -> None:
    digest = there.put("1")
    stack = pulled(repository, f"{there.host}/a/b:1@{digest}")

    change(there, digest)  # type: ignore[operator]  # one of the lambdas above

    assert codes(stack, asking) == found


def test_a_newer_nightly_is_told_and_blocks_nothing(repository: Path, there: FakeRegistry, asking: Registry) -> None:
    digest = there.put(f"nightly-{COMMIT}")
    there.put("nightly", content="of today")

    assert codes(pulled(repository, f"{there.host}/a/b:nightly-{COMMIT}@{digest}"), asking) == {"pin-newer": "info"}


def test_a_pin_for_other_machines_is_a_finding_of_its_own(
    repository: Path, there: FakeRegistry, asking: Registry
) -> None:
    digest = there.put("1", platform="linux/arm64")

    assert codes(pulled(repository, f"{there.host}/a/b:1@{digest}"), asking) == {"pin-platform": "error"}


def test_a_tag_without_a_digest_is_no_pin(repository: Path, there: FakeRegistry, asking: Registry) -> None:
    stack = pulled(repository, f"{there.host}/a/b:1")
    assert codes(stack, asking) == {"pin-vanished": "error"}

    there.put("1")

    assert codes(stack, asking) == {"pin-none": "warning"}


def test_an_image_that_was_built_here_has_no_pin(repository: Path) -> None:
    with pytest.raises(UsageError, match="is built here"):
        pins.written(catalog.load(repository, "toy"))


def test_two_homes_that_differ_are_said(repository: Path) -> None:
    stack = pulled(repository, "a/b:1")
    (repository / "env/toy.env").write_text("IMAGE=a/b:2\n")

    with pytest.raises(UsageError, match=r"env/toy.env: a/b:2\n  compose/toy.yaml: a/b:1"):
        pins.written(stack)


def test_two_homes_that_differ_do_not_end_the_check_of_the_other_stacks(
    repository: Path, there: FakeRegistry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    digest = there.put("1", index=True)
    pulled(repository, f"{there.host}/a/b:1@{digest}")
    text = (repository / "compose/toy.yaml").read_text()
    (repository / "compose/another.yaml").write_text(text.replace("name: toy", "name: another"))
    (repository / "env/another.env").write_text("IMAGE=a/b:2\n")
    monkeypatch.setattr(pinning, "ROOT", repository)

    assert pinning.check(None, as_json=True) == 1

    (finding,) = json.loads(capsys.readouterr().out)
    assert (finding["code"], finding["severity"]) == ("pin-homes-differ", "error")
    assert finding["title"].startswith("another: ")
    assert finding["evidence"][0] == "env/another.env: a/b:2"
    assert finding["fix"]


def with_profiles(stack: Stack, *, own: str, local: str) -> Stack:
    """Give a stack a profile of its own and one of this machine, each with an image."""
    text = stack.path.read_text()
    shared = f"  profiles:\n    cu129: {{about: an older CUDA, set: {{IMAGE: '{own}'}}}}\n"
    stack.path.write_text(text.replace("  profiles:\n", shared))
    (stack.root / "env/profiles").mkdir()
    (stack.root / "env/profiles/toy.yaml").write_text(f"tried: {{about: found here, set: {{IMAGE: '{local}'}}}}\n")
    return catalog.load(stack.root, "toy")


def test_the_images_of_profiles_are_pins_too(repository: Path, there: FakeRegistry, asking: Registry) -> None:
    digest, older = there.put("1"), there.put("1-cu129", content="older")
    stack = pulled(repository, f"{there.host}/a/b:1@{digest}")
    stack = with_profiles(stack, own=f"{there.host}/a/b:1-cu129@{older}", local=f"{there.host}/a/b:gone")

    (gone,) = pins.check(stack, asking)
    there.put("1-cu129", content="newer")
    moved, again = pins.check(stack, asking)

    assert (gone.code, gone.severity, gone.title) == (
        "pin-vanished",
        "error",
        "toy:tried: the registry has no tag gone",
    )
    assert gone.fix == ("another IMAGE in profile tried of env/profiles/toy.yaml",)
    assert again == gone
    assert (moved.code, moved.title.partition(": ")[0]) == ("pin-moved", "toy:cu129")
    assert moved.fix == ("another IMAGE in profile cu129 of compose/toy.yaml",)


def test_a_profile_with_an_image_of_a_stack_that_is_built_here_is_checked(
    repository: Path, there: FakeRegistry, asking: Registry
) -> None:
    stack = with_profiles(
        catalog.load(repository, "toy"), own=f"{there.host}/a/b:1", local=f"{there.host}/a/b:1@{there.put('1')}"
    )

    assert codes(stack, asking) == {"pin-none": "warning"}


def test_only_the_value_changes_in_both_homes(repository: Path) -> None:
    stack = pulled(repository, "a/b:1")
    new = "a/b:1@sha256:" + "a" * 64
    before = {path: path.read_text() for path in (stack.path, pins.env_file(stack))}

    after = pins.repinned(stack, new)

    assert after == {path: text.replace("a/b:1", new) for path, text in before.items()}
    assert {path: path.read_text() for path in before} == before
    for path, text in after.items():
        path.write_text(text)
    assert str(pins.written(catalog.load(repository, "toy"))) == new


def test_the_key_of_compiled_kernels_follows_the_pin(repository: Path) -> None:
    pulled(repository, "a/b:1")
    path = repository / "compose/toy.yaml"
    text = path.read_text().replace("    PORT: {", "    JIT_KEY: {type: text, about: a folder}\n    PORT: {")
    path.write_text(
        text.replace("      TOY_KEY: ${API_KEY:-}\n", "      A: /x/${JIT_KEY:-1}/a\n      B: /x/${JIT_KEY:-1}/b\n")
    )
    path.write_text(path.read_text().replace("    API_KEY: {type: secret, about: what clients must send}\n", ""))
    stack = catalog.load(repository, "toy")

    for file, new in pins.repinned(stack, "a/b:2@sha256:" + "c" * 64).items():
        file.write_text(new)

    assert catalog.load(repository, "toy").defaults["JIT_KEY"] == "c" * 12
    assert dotenv_values(repository / "env/toy.env")["JIT_KEY"] == "c" * 12
    for file, new in pins.repinned(catalog.load(repository, "toy"), "a/b:3").items():
        file.write_text(new)
    assert catalog.load(repository, "toy").defaults["JIT_KEY"] == "3"


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("# a\nIMAGE=a:1\n# b\n", "# a\nIMAGE=b:2\n# b\n"),
        ("  export IMAGE = 'a:1'   # why\n", "  export IMAGE = b:2   # why\n"),
        ('IMAGE="a:1"', "IMAGE=b:2"),
        ("IMAGE=\nPORT=1\n", "IMAGE=b:2\nPORT=1\n"),
        ("IMAGE=a:1\r\nPORT=1\r\n", "IMAGE=b:2\r\nPORT=1\r\n"),
        ("#IMAGE=a:0\nBASE_IMAGE=x\n", "#IMAGE=a:0\nBASE_IMAGE=x\nIMAGE=b:2\n"),
        ("PORT=1", "PORT=1\nIMAGE=b:2\n"),
        ("", "IMAGE=b:2\n"),
    ],
)
def test_an_env_file_keeps_everything_but_the_value(tmp_path: Path, text: str, after: str) -> None:
    assert pins.with_value(text, "IMAGE", "b:2", where="x.env") == after
    (tmp_path / "x.env").write_text(after)
    assert dotenv_values(tmp_path / "x.env")["IMAGE"] == "b:2"


@pytest.mark.parametrize("text", ["IMAGE=a\nIMAGE=b\n", "IMAGE=a b\n", "IMAGE='two\nlines'\n"])
def test_an_env_file_that_cannot_be_edited_safely_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        pins.with_value(text, "IMAGE", "b:2", where="x.env")
