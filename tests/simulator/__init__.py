"""A deterministic OpenAI-compatible server that shows on demand each fault of a real engine.

It answers from a schedule, not from a model, and records when it sent what::

    with Simulator(Behaviour(ttft_ms=20, faults={"cut": 9})) as server:
        measure(Target(url=server.url), Workload(requests=96))
    assert len(server.served) == 96

``python -m tests.simulator --profile dies-on-first-request`` serves it to anyone who wants to see a failure happen.
It uses the standard library alone, so that it also runs inside an image that has nothing else.
"""

from tests.simulator.behaviour import PROFILES, Behaviour
from tests.simulator.server import Served, Simulator

__all__ = ["PROFILES", "Behaviour", "Served", "Simulator"]
