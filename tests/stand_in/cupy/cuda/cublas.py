"""Chainer imports this to see whether cuBLAS is there."""
