"""Chainer imports this."""
