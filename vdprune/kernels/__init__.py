"""Loops over arrays, compiled."""
