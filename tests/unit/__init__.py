"""Tests without a server, an engine or a network: fast, and independent of each other."""
