"""Secrets go in the clear only where nobody else can listen."""

from __future__ import annotations

import pytest

from blackstack.loopback import is_loopback


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.0.1", "localhost", "LOCALHOST", "::1", "[::1]"])
def test_this_machine_is_known(host: str) -> None:
    assert is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "10.0.0.1", "localhost.example.org", "127.0.0.1.example.org"],  # noqa: S104
)
def test_everybody_else_is_somebody_else(host: str) -> None:
    assert not is_loopback(host)
