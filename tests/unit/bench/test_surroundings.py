"""What else went on, and whether the answers were right."""

from __future__ import annotations

import asyncio
import json

from blackstack.bench import Target, Workload, measure
from blackstack.bench.gpu import Gpu
from blackstack.bench.quality import QUESTIONS, examine
from blackstack.bench.surroundings import COUNTERS, NAMES, Surroundings, pick, read_metrics
from simulator import Behaviour, Simulator

PAGE = """# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_running{engine="1",model_name="m"} 2.0
vllm:num_preemptions_total 1e+01
python_info{version="3.12.1"} NaN
"""


def test_a_metric_is_the_sum_over_its_labels() -> None:
    metrics = read_metrics(PAGE)

    assert metrics["vllm:num_requests_running"] == 5
    assert metrics["vllm:num_preemptions_total"] == 10


def test_two_caches_that_are_half_full_are_not_one_that_overflows() -> None:
    page = "".join(
        f'vllm:kv_cache_usage_perc{{engine="{engine}"}} {share}\n' for engine, share in enumerate((0.6, 0.5))
    )

    assert pick(read_metrics(page), NAMES) == {"kv_usage": 0.6}


def test_engines_metrics_come_under_one_name_and_unknown_ones_are_absent() -> None:
    assert pick(read_metrics(PAGE), NAMES) == {"running": 5}
    assert pick({"llamacpp:requests_deferred": 2.0}, NAMES) == {"waiting": 2.0}
    assert pick(read_metrics(PAGE), COUNTERS) == {"preemptions": 10}


def test_a_run_tells_what_the_server_counted() -> None:
    with Simulator() as server:
        run = measure(Target(url=server.url), Workload(warmup=0, requests=5, output_tokens=7)).as_dict()["runs"][0]

    assert run["surroundings"]["server"]["available"]
    assert run["surroundings"]["server"]["increase"]["generation_tokens"] == 35


def test_a_server_without_metrics_is_measured_all_the_same() -> None:
    around = Surroundings(target=Target(url="http://127.0.0.1:1"))

    async def look() -> None:
        await around.begin()
        await around.end()

    asyncio.run(look())

    assert not around.as_dict()["server"]["available"]


class CountedGpu(Gpu):
    """A card that can only be counted how often it was looked at."""

    looks = 0

    def sample(self) -> None:
        """Count."""
        self.looks += 1


def test_the_gpu_is_looked_at_before_and_after_a_run_that_is_over_at_once() -> None:
    gpu = CountedGpu()
    around = Surroundings(target=Target(url="http://127.0.0.1:1"), gpu=gpu)

    async def look() -> None:
        await around.begin()
        await around.end()

    asyncio.run(look())

    assert gpu.looks == 2


def test_right_answers_are_known_as_such() -> None:
    with Simulator() as server:
        told = asyncio.run(examine(Target(url=server.url, model="simulated")))

    assert (told["right"], told["asked"], told["degenerate"]) == (len(QUESTIONS), len(QUESTIONS), 0)
    assert json.dumps(told)


def test_garbage_is_known_as_such() -> None:
    with Simulator(Behaviour(faults={"garbage": 1})) as server:
        told = measure(Target(url=server.url), Workload(warmup=0, requests=1, quality=True)).as_dict()["found"]

    assert told["quality"]["degenerate"] == len(QUESTIONS)
    assert told["quality"]["right"] == 0


def test_a_server_that_refuses_has_no_right_answers() -> None:
    with Simulator(Behaviour(faults={"http_503": 1})) as server:
        told = asyncio.run(examine(Target(url=server.url, model="simulated")))

    assert told["right"] == 0
    assert told["answers"][0]["problem"] == "HTTP 503"
