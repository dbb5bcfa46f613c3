"""``python -m tests.simulator --profile dies-on-first-request``: the failure modes of an engine, on a laptop."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import signal
import sys

from tests.simulator.behaviour import PROFILES, Behaviour
from tests.simulator.server import Simulator


def main() -> int:
    """Serve a profile until SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument(
        "--profile", choices=tuple(PROFILES), default="healthy", help="how it fails (default: it does not)"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model", default="simulated", help="the name it serves")
    for name in ("ttft-ms", "itl-ms", "jitter-ms"):
        parser.add_argument(f"--{name}", type=float, help="instead of the profile's")
    arguments = parser.parse_args()
    changed = {
        name: value for name in ("ttft_ms", "itl_ms", "jitter_ms") if (value := getattr(arguments, name)) is not None
    }
    behaviour = dataclasses.replace(
        PROFILES[arguments.profile], models=(arguments.model,), api_key=os.environ.get("API_KEY"), **changed
    )
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(behaviour, arguments.host, arguments.port))
    return 0


async def _serve(behaviour: Behaviour, host: str, port: int) -> None:
    server = Simulator(behaviour, host=host, port=port)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    print(f"simulator: {behaviour.models[0]} at {server.url}", file=sys.stderr, flush=True)  # noqa: T201
    await server.serve()


if __name__ == "__main__":
    sys.exit(main())
