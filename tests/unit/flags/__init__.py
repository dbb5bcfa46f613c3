"""Tests of what is known of the engines' flags."""
