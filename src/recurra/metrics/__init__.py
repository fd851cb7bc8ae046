"""Scores, each of which carries its recipe."""
