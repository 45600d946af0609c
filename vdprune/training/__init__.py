"""Training runs: phases, the trainer and its extensions, what a network is shown."""
