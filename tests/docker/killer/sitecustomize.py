"""Found by Python before anything else when this folder is on PYTHONPATH: kills `inv` as `kill -9` would.

It happens just before the Nth time that it touches a file of the checkout, or runs a docker command that changes
something. Nothing of the program knows of it.
"""

from __future__ import annotations

import os
import signal
import sys

ROOT, LAST = os.environ.get("KILL_IN", ""), int(os.environ.get("KILL_AT", "0"))
TOUCHES = {"os.rename", "os.remove", "os.mkdir", "os.chmod"}
seen = 0


def watch(event: str, args: tuple[object, ...]) -> None:
    """Count, and kill when it is time."""
    global seen  # noqa: PLW0603 - an audit hook has no other place to count in
    wrote = event == "open" and ROOT in str(args[0]) and "r" not in str(args[1] or "r")
    touched = event in TOUCHES and ROOT in str(args[0])
    ran = event == "subprocess.Popen" and {"tag", "save", "load"} & set(map(str, args[1]))  # type: ignore[call-overload]
    if wrote or touched or ran:
        seen += 1
        if seen == LAST:
            os.kill(os.getpid(), signal.SIGKILL)


if ROOT:
    sys.addaudithook(watch)
