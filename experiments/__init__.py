"""Experiments of the paper beside its tables: README.md says which, and how to run them."""
