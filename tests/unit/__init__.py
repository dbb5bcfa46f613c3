"""Tests without Docker and without a model."""
