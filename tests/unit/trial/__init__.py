"""Tests of blackstack.trial."""
