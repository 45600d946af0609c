"""How fast a training step is, here and in other implementations: `make bench`, `make profile`."""
