"""Start SGLang's server with its key from the environment.

SGLang takes a key only as a flag, which everybody on the machine could read, and prints all its settings with it when
it starts. Here it stands in SGLANG_SERVER_KEY, joins the flags inside this process, whose command line stays as it
was, and is masked where the settings are printed. All flags are SGLang's own.
"""

from __future__ import annotations

import os
import runpy
import sys

SERVER = "sglang.launch_server"
KEY = "SGLANG_SERVER_KEY"


def mask(key: str) -> None:
    """Have SGLang's settings print without the key."""
    from sglang.srt.server_args import ServerArgs  # noqa: PLC0415  # seconds, which `python serve.py` alone pays

    shown = ServerArgs.__repr__
    ServerArgs.__repr__ = lambda self: shown(self).replace(repr(key), "'(set)'")


def main() -> None:
    """Become the server."""
    key = os.environ.pop(KEY, "")
    if key:
        mask(key)
        sys.argv += ["--api-key", key]
    runpy.run_module(SERVER, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
