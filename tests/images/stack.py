"""What the smoke tests share: where they run, and a server of the stack under test. Standard library only.

They run inside an image (`docker run … python3 -m unittest test_common test_vllm`) or with the python of a
stack's environment; three variables tell where things are:

=====================  ==================================================  ==========
BLACKSTACK_STACK       the stack's folder: launcher, pinned requirements   /stack
BLACKSTACK_MODELS      converted models, for the stacks that convert       /opt/models
BLACKSTACK_READY_S     seconds that the server may take to start           300
=====================  ==================================================  ==========
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STACK = Path(os.environ.get("BLACKSTACK_STACK", "/stack"))
MODELS = Path(os.environ.get("BLACKSTACK_MODELS", "/opt/models"))
READY_S = float(os.environ.get("BLACKSTACK_READY_S", "300"))
IN_IMAGE = sys.prefix == "/opt/venv"
LAUNCHER = Path("/opt/blackstack/serve.py") if IN_IMAGE else STACK / "serve.py"


def pins() -> dict[str, str]:
    """Read what the stack pins: package name to version."""
    lines = "\n".join(path.read_text(encoding="utf-8") for path in sorted(STACK.glob("*.txt")))
    return dict(re.findall(r"^([A-Za-z0-9._-]+)(?:\[[^]]*\])?==([^\s;\\]+)", lines, flags=re.MULTILINE))


def free_port() -> int:
    """Find a port on loopback that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextmanager
def server(*flags: str, **environment: str) -> Iterator[str]:
    """Run the stack's launcher on loopback until it answers, and yield its URL."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    argv = [sys.executable, str(LAUNCHER), "--host", "127.0.0.1", "--port", str(port), *flags]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(argv, stdout=log, stderr=log, env={**os.environ, **environment})
        try:
            _wait_until_it_answers(process, f"{url}/health")
            yield url
        except BaseException:
            log.seek(0)
            sys.stderr.write(log.read().decode(errors="replace")[-4000:])
            raise
        finally:
            process.terminate()
            process.wait(60)


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + READY_S
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if time.monotonic() > deadline:
                message = f"not ready after {READY_S:.0f} s, last seen: {error}"
                raise TimeoutError(message) from None
        time.sleep(0.25)
    message = f"the server ended with exit code {process.returncode} before it answered"
    raise RuntimeError(message)


def ask(url: str, question: dict[str, object], *, key: str = "") -> dict[str, object]:
    """Post a question to an OpenAI-compatible server and return its answer."""
    headers = {"Content-Type": "application/json"}
    if key:
        headers["Authorization"] = f"Bearer {key}"
    request = urllib.request.Request(url, json.dumps(question).encode(), headers)
    with urllib.request.urlopen(request, timeout=120) as answer:
        content: dict[str, object] = json.load(answer)
    return content


def status_without_key(url: str, question: dict[str, object]) -> int:
    """Post a question without a key and return the HTTP status."""
    try:
        ask(url, question)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
    return 200


def text_of(answer: dict[str, object]) -> str:
    """Take the first choice's text out of a completion or a chat completion."""
    choices = answer["choices"]
    assert isinstance(choices, list)
    choice = choices[0]
    return str(choice["message"]["content"] if "message" in choice else choice["text"])
