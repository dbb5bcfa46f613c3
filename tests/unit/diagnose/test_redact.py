"""Nothing that says who or where leaves in a bundle; what happened does."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from blackstack.diagnose.redact import Redactor

WORD = st.text(string.ascii_lowercase + string.digits, min_size=12, max_size=40)
AROUND = st.sampled_from(["", " ", "\n", ", ", " error: ", "log line: ", "(", "'"])


@pytest.mark.parametrize(
    "text",
    [
        "HF_TOKEN=hf_abcdefghijklmnop",
        "export OPENAI_API_KEY='sk-abcdefghijklmnopqrst'",
        "Authorization: Bearer abc.def.ghi",
        "vllm serve m --api-key s3cr3t-value",
        '{"password": "s3cr3t-value"}',
        "pulling https://user:s3cr3t-value@registry.example/v2/",
        "token ghp_0123456789abcdefghijABCDEFGHIJ012345",
        "eyJhbGciOiJI.eyJzdWIiOiIx.SflKxwRJSMeKKF2QT4",
        "-----BEGIN RSA PRIVATE KEY-----\ns3cr3t-value\n-----END RSA PRIVATE KEY-----",
    ],
)
def test_secrets_are_taken_out(text: str) -> None:
    redacted = Redactor()(text)

    assert "<secret>" in redacted
    for part in ("s3cr3t", "abcdefgh", "abc.def", "0123456789", "SflKxw"):
        assert part not in redacted


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/kim/models and /home/kim/x", "/home/<user-1>/models and /home/<user-1>/x"),
        (r"C:\Users\Kim\x", r"C:\Users\<user-1>\x"),
        ("kim@gpu-box:~$", "<user-1>@<host-1>:~$"),
        ("bound to 192.168.1.7:8000", "bound to <ip-1>:8000"),
        ("tcp://[fe80::1ff:fe23:4567:890a]:29500", "tcp://[<ip-1>]:29500"),
        ("hostname: gpu-box", "hostname: <host-1>"),
        (
            "gpu-box:4211:4211 [0] NCCL INFO cudaDriverVersion 12080",
            "<host-1>:4211:4211 [0] NCCL INFO cudaDriverVersion 12080",
        ),
        ("http://models.corp/x", "http://<host-1>/x"),
        ("GPU-0123abcd-4567-89ab-cdef-0123456789ab", "<uuid-1>"),
        ("link 02:42:ac:11:00:02 up", "link <mac-1> up"),
    ],
)
def test_names_and_places_get_stand_ins(text: str, expected: str) -> None:
    assert expected == Redactor()(text)


@pytest.mark.parametrize(
    "text",
    [
        "Uvicorn running on http://127.0.0.1:8000 and http://0.0.0.0:8000",
        "ImportError: /opt/venv/lib/x.so: undefined symbol: _ZN3c106detail14torchCheckFail",
        "at::native::add<c10::Half>(std::vector) 12:34:56",
        "nvidia-cudnn-cu12==9.10.2.21 driver 580.95.05",
        "tokens=512 max_tokens: 5 --max-num-batched-tokens 8192",
        "image@sha256:0123456789abcdef",
        "GPU KV cache size: 275,440 tokens",
    ],
)
def test_what_happened_stays(text: str) -> None:
    assert text == Redactor()(text)


def test_the_same_host_is_the_same_in_every_file() -> None:
    redact = Redactor()

    assert redact("10.1.2.3 calls 10.1.2.4") == "<ip-1> calls <ip-2>"
    assert redact("10.1.2.4 answers") == "<ip-2> answers"


def test_names_that_the_caller_knows_are_taken_out_anywhere() -> None:
    assert Redactor(["gpu-box", "kim"])("GPU-Box: model of Kim, kimchi") == "<name-1>: model of <name-2>, kimchi"


@given(WORD, AROUND, AROUND)
def test_no_token_survives_whatever_stands_around_it(word: str, before: str, after: str) -> None:
    for secret in (
        f"hf_{word}",
        f"ghp_{word}",
        f"nvapi-{word}",
        f"MY_API_KEY={word}",
        f"https://me:{word}@host",
    ):
        assert word not in Redactor()(f"{before}{secret}{after}")


@given(st.ip_addresses(v=4).filter(lambda ip: not (ip.is_loopback or ip.is_unspecified)), AROUND, AROUND)
def test_no_address_survives(ip: object, before: str, after: str) -> None:
    if not str(ip).startswith("255."):
        assert str(ip) not in Redactor()(f"{before}{ip}{after}")


@given(st.text())
def test_redacting_twice_changes_nothing_more(text: str) -> None:
    redact = Redactor(["gpu-box"])
    once = redact(text)

    assert once == redact(once)
