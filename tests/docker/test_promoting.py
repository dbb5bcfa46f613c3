"""Promote and roll back with real images: also killed in the middle, and when the registry has forgotten."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from blackstack import archive
from blackstack.progress import StageClock
from tests.e2e.conftest import Said, Shell, add_toy, copy_checkout, free_port

from .registry import LocalRegistry, docker, image_id, local_registry, make_image
from .test_pinning import fine, forget, pinned, serve_pulled

TOY = ("--stack", "toy")
KILLER = Path(__file__).parent / "killer"


@pytest.fixture
def images(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Two small images that were built here, by name."""
    made = {f"toy:{name}": make_image(tmp_path / "image", name) for name in ("old", "new")}
    for name, one in made.items():
        docker("tag", one, name)
    yield made
    forget(*made.values())


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A shell in a checkout with the toy."""
    root = tmp_path / "checkout"
    copy_checkout(root)
    add_toy(root)
    (root / "results").mkdir(exist_ok=True)
    return Shell(root, env={"DOCKER_CONFIG": str(tmp_path / "docker-config")})


def measure(shell: Shell, image: str, identity: str, **more: object) -> str:
    """Write what `inv bench` would of a server that runs this image, and return the file's name."""
    number = len(list((shell.root / "results").glob("*.json")))
    record = {
        "schema": 1,
        "measured_at": f"2026-11-21T00:00:{number:02}+00:00",
        "complete": True,
        "missing": [],
        "asked_for": {"stack": "toy", "runtime": "docker", "image": image},
        "found_inside": {"image": image, "image_id": identity},
        "ran_on": {"cpu": "a processor"},
        "runs": [{"failures": {}, "output_tokens_per_s": 10.0 + number}],
        **more,
    }
    path = shell.root / f"results/toy-{number}.json"
    path.write_text(json.dumps(record))
    return str(path)


def promote(shell: Shell, images: dict[str, str], image: str) -> Said:
    """Measure an image and promote it."""
    return fine(shell.inv("promote", *TOY, "--result", measure(shell, image, images[image])))


def baseline(shell: Shell) -> dict[str, object]:
    """Return the current baseline's provenance."""
    told = json.loads((shell.root / "results/baselines/toy.json").read_text())
    assert told["runs"]
    about: dict[str, object] = told["baseline"]
    return about


def listed(shell: Shell) -> tuple[str | None, list[str]]:
    """Return the current image of the history, and all of them in order."""
    told = json.loads(fine(shell.inv("promote", "--list", *TOY, "--json")).out)
    if not told:
        return None, []
    by_id = {entry["id"]: entry["image"] for entry in told[0]["promotions"]}
    return by_id[told[0]["current"]], list(by_id.values())


def test_the_better_image_is_promoted_and_the_one_before_brought_back(shell: Shell, images: dict[str, str]) -> None:
    promote(shell, images, "toy:old")
    said = promote(shell, images, "toy:new")

    assert "promoted: toy is toy:new" in said.out
    assert pinned(shell) == "toy:new"
    assert listed(shell) == ("toy:new", ["toy:old", "toy:new"])
    assert (baseline(shell)["pin"], baseline(shell)["image_id"]) == ("toy:new", images["toy:new"])
    assert str(baseline(shell)["result"]) == "results/toy-1.json"
    assert "is current already" in fine(shell.inv("promote", *TOY)).out

    back = fine(shell.inv("rollback", *TOY))

    assert "rolled back: toy is toy:old" in back.out
    assert pinned(shell) == "toy:old"
    assert listed(shell) == ("toy:old", ["toy:old", "toy:new"])
    assert (baseline(shell)["pin"], baseline(shell)["result"]) == ("toy:old", "results/toy-0.json")
    again = shell.inv("rollback", *TOY)
    assert again.code == 1
    assert "nothing to roll toy back to" in again.err
    fine(shell.inv("promote", *TOY))
    assert listed(shell) == ("toy:new", ["toy:old", "toy:new", "toy:new"])


def test_an_image_that_was_removed_and_built_over_comes_back_from_its_archive(
    shell: Shell, images: dict[str, str]
) -> None:
    promote(shell, images, "toy:old")
    forget(images["toy:old"])
    docker("tag", images["toy:new"], "toy:old")  # the same name, built anew
    images["toy:new again"] = images["toy:new"]
    fine(shell.inv("promote", *TOY, "--result", measure(shell, "toy:old", images["toy:new"])))
    assert image_id("toy:old") == images["toy:new"]

    fine(shell.inv("rollback", *TOY))

    assert image_id("toy:old") == images["toy:old"]
    assert image_id(f"localhost/blackstack/toy:{images['toy:new'][7:19]}") == images["toy:new"]
    assert pinned(shell) == "toy:old"


def test_a_winner_whose_tag_has_vanished_comes_back_from_its_archive(
    shell: Shell, images: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "registry").mkdir()
    with local_registry(tmp_path / "registry") as registry:
        names = {name: f"{registry.host}/a/{name}" for name in images}
        digests = {name: push(registry, name) for name in images}
        serve_pulled(shell, names["toy:old"])
        for name, identity in images.items():
            fine(shell.inv("promote", *TOY, "--result", measure(shell, names[name], identity)))
        assert pinned(shell) == f"{names['toy:new']}@{digests['toy:new']}"
        registry.delete("a/toy", digests["toy:old"])
        forget(images["toy:old"])

        said = fine(shell.inv("rollback", *TOY))

        name = f"localhost/blackstack/toy:{images['toy:old'][7:19]}"
        assert pinned(shell) == name
        assert image_id(name) == images["toy:old"]
        assert f"only a registry gives {names['toy:old']}@{digests['toy:old']}" in said.out
        assert (baseline(shell)["pin"], baseline(shell)["image_id"]) == (name, images["toy:old"])
        assert "+ docker pull" not in shell.inv("plan", *TOY, "--runtime", "docker").out
        codes = json.loads(shell.inv("pin", "--check", *TOY, "--json").out)
        assert [finding["code"] for finding in codes] == ["pin-kept-here"]


def push(registry: LocalRegistry, name: str) -> str:
    """Push a toy under its own tag."""
    return registry.push(name, "a/toy", name.partition(":")[2])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        ({"complete": False, "missing": ["ran_on"]}, "it is incomplete: ran_on"),
        ({"runs": [{"failures": {"timeout": 2}}]}, "2 of its requests failed"),
        ({"found_inside": {}}, "it names no image"),
        ({"found_inside": {"image_id": "sha256:" + "a" * 64}}, "is not here"),
        ({"asked_for": {"stack": "other"}}, "measured other, not toy"),
    ],
)
def test_a_result_that_proves_too_little_promotes_nothing(
    shell: Shell, images: dict[str, str], spoil: dict[str, object], sentence: str
) -> None:
    said = shell.inv("promote", *TOY, "--result", measure(shell, "toy:new", images["toy:new"], **spoil))

    assert said.code in {1, 2}, said.all
    assert sentence in said.err
    assert not (shell.root / "results/promotions").exists()
    assert pinned(shell) == "toy:1"


def test_an_image_that_was_built_anew_since_is_not_promoted(shell: Shell, images: dict[str, str]) -> None:
    result = measure(shell, "toy:new", images["toy:new"])
    docker("tag", images["toy:new"], "toy:kept")
    docker("tag", images["toy:old"], "toy:new")

    said = shell.inv("promote", *TOY, "--result", result)

    assert said.code == 1
    assert "is not the image any more that toy-0.json measured" in said.err


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("verb", ["promote", "rollback"])
def test_killed_at_any_step_the_old_or_the_new_is_in_service(shell: Shell, images: dict[str, str], verb: str) -> None:
    promote(shell, images, "toy:old")
    words = ["promote", *TOY, "--result", measure(shell, "toy:new", images["toy:new"])]
    was, becomes = "toy:old", "toy:new"
    if verb == "rollback":
        fine(shell.inv(*words))
        was, becomes, words = becomes, was, ["rollback", *TOY]
    before = {path: path.read_bytes() for path in tracked(shell)}
    came_through = []
    for last in range(1, 100):
        restore_files(shell, before)
        if verb == "promote":  # what takes longest is among the steps in which it dies
            for kept in (shell.root / ".blackstack/archives").glob(f"toy-{images[becomes][7:19]}*"):
                kept.unlink()
        if verb == "rollback":  # the name stands for another image: then a rollback has to move it too
            docker("tag", images["toy:new"], "toy:old")
        ended = shell.inv(*words, env={"PYTHONPATH": str(KILLER), "KILL_IN": str(shell.root), "KILL_AT": str(last)})
        if ended.code == 0:
            break
        assert ended.code == -signal.SIGKILL, ended.all
        journal = (shell.root / ".blackstack/run/toy/change.json").exists()

        # The next command says it and mends it; this one is refused for its own reason, after that.
        after = shell.inv("promote", *TOY, "--result", "nowhere.json")

        assert ("was killed half-way" in after.err) == journal, after.all
        now = in_service(shell)
        assert now in {was, becomes}
        assert pinned(shell) == now
        assert (baseline(shell)["pin"], baseline(shell)["image_id"]) == (now, images[now])
        if verb == "promote" or now == becomes:
            assert image_id(now) == images[now]
        assert not list(shell.root.glob("**/.*-draft"))
        for kept in (shell.root / ".blackstack/archives").glob("*.zst"):  # under its name it is whole
            archive.verify(kept, archive.read(kept), StageClock())
        came_through.append(now)
    else:
        pytest.fail("it never came to its end")

    assert len(came_through) > 8
    assert set(came_through) == {was, becomes}
    assert came_through == sorted(came_through, key=[was, becomes].index)


def in_service(shell: Shell) -> str:
    """Return the image of the history's current entry."""
    told = json.loads((shell.root / "results/promotions/toy.json").read_text())
    (image,) = (entry["image"] for entry in told["promotions"] if entry["id"] == told["current"])
    return str(image)


def tracked(shell: Shell) -> list[Path]:
    """Return the files that a promotion may change."""
    folders = ("compose", "env", "results/baselines", "results/promotions")
    return [path for folder in folders for path in (shell.root / folder).rglob("*") if path.is_file()]


def restore_files(shell: Shell, before: dict[Path, bytes]) -> None:
    """Put these files back as they were."""
    for path in tracked(shell):
        path.unlink()
    for path, content in before.items():
        path.write_bytes(content)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_real_servers_are_measured_promoted_and_rolled_back(shell: Shell, image: str, tmp_path: Path) -> None:
    stack = ("--stack", "llamacpp-cpu")
    project = f"test-promote-{free_port()}"
    path = shell.root / "compose/llamacpp-cpu.yaml"
    path.write_text(path.read_text().replace("name: blackstack-llamacpp-cpu", f"name: {project}"))
    names = [f"blackstack/llamacpp-cpu:{project}-{which}" for which in ("old", "new")]
    for name in names:
        (tmp_path / "Dockerfile").write_text(f"FROM {image}\nLABEL another={name}\n")
        docker(
            "buildx", "build", "--quiet", "--load", "--tag", name, "--file", str(tmp_path / "Dockerfile"), str(KILLER)
        )
    old, _ = names
    ids = {name: image_id(name) for name in names}
    port = ("--set", f"PORT={free_port()}")
    try:
        for name in names:
            fine(shell.inv("up", *stack, *port, "--runtime", "docker", "--set", f"IMAGE={name}"))
            fine(shell.inv("bench", *stack, "--requests", "2", "--concurrency", "1", "--output-tokens", "8"))
            fine(shell.inv("down", *stack))
            said = fine(shell.inv("promote", *stack))
            assert f"promoted: llamacpp-cpu is {name}" in said.out
        forget(ids[old])

        fine(shell.inv("rollback", *stack))
        up = fine(shell.inv("up", *stack, *port, "--runtime", "docker"))

        assert "it answered:" in up.out
        assert image_id(old) == ids[old]
        running = docker("inspect", "--format", "{{.Image}}", docker("ps", "--quiet", "--filter", f"name={project}"))
        assert running == ids[old]
    finally:
        shell.inv("down", *stack)
        forget(*ids.values())
