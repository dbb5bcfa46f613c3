"""Tests of the static audit."""
