"""Serve the simulator as an engine: ``python serve.py --behaviour dies-on-first-request``. Standard library only."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import os
import signal
import sys

from simulator import PROFILES, Behaviour, Simulator, engine


def main() -> int:
    """Serve until SIGINT or SIGTERM, or until the behaviour has it end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--behaviour", choices=tuple(PROFILES), default="healthy", help="how it fails (default: it does not)"
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    parser.add_argument("--model", default="simulated", help="the name it serves")
    for name in ("ttft-ms", "itl-ms", "jitter-ms"):
        parser.add_argument(f"--{name}", type=float, help="instead of the behaviour's")
    parser.add_argument("--slots", type=int, help="answers at a time, instead of the behaviour's; 0 is no limit")
    arguments = parser.parse_args()
    asked = {name: getattr(arguments, name) for name in ("ttft_ms", "itl_ms", "jitter_ms", "slots")}
    behaviour = dataclasses.replace(
        PROFILES[arguments.behaviour],
        models=(arguments.model,),
        api_key=os.environ.get("API_KEY") or None,
        **{name: value for name, value in asked.items() if value is not None},
    )
    with contextlib.suppress(KeyboardInterrupt):
        engine.start(behaviour, f"http://{arguments.host}:{arguments.port}")
        asyncio.run(_serve(behaviour, arguments.host, arguments.port))
    return 0


async def _serve(behaviour: Behaviour, host: str, port: int) -> None:
    server = Simulator(behaviour, host=host, port=port, log=engine.say, die=engine.end)
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, server.stop)
    await server.serve(up=lambda: engine.say(engine.UP))


if __name__ == "__main__":
    sys.exit(main())
