"""Tests: unit/ in seconds, docker/ with a real engine, e2e/ as a newcomer types, images/ inside each image."""
