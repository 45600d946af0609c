"""SciPy on the GPU: nothing is needed of it but that it can be imported."""
