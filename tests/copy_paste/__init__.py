"""Tests of what a server gets: one file, or one folder, and nothing else of this repository."""
