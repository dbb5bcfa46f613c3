"""Comparisons: when there can be one, and what it may claim."""
