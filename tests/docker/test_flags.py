"""The flags that were taken from a wheel without a GPU are those that the installed engine has."""

from __future__ import annotations

import json
from pathlib import Path

import docker
import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
FLAGS = REPOSITORY / "blackstack" / "flags"
IMAGE = "blackstack/vllm-cpu:0.32.0"
BY_DEVICE = {"--mm-processor-device"}  # lists the device that the engine was built for


def test_the_flags_of_the_wheel_are_those_inside_the_image(engine: docker.DockerClient) -> None:
    if not any(IMAGE in image.tags for image in engine.images.list()):
        pytest.skip(f"{IMAGE} is not here, get it with: inv build --stack vllm-cpu")
    printed = engine.containers.run(
        IMAGE,
        ["/extract/extract.py", "--installed", "vllm"],
        entrypoint="python3",
        network_mode="none",
        volumes={str(FLAGS / "extract.py"): {"bind": "/extract/extract.py", "mode": "ro"}},
        remove=True,
        stderr=False,
    )
    inside = json.loads(printed.decode())
    kept = json.loads((FLAGS / "data" / "vllm-0.32.0.json").read_text())

    theirs, ours = ({flag["names"][0]: flag for flag in data["flags"]} for data in (inside, kept))
    assert set(theirs) == set(ours)
    assert {name for name in ours if theirs[name] != ours[name]} == BY_DEVICE
    for key in ("version", "positionals", "variables", "also_named", "allow_abbrev", "flexible"):
        assert inside[key] == kept[key]
    assert inside["stood_in"] == []
