"""Training runs: recipe, schedules, the trainer and its extensions."""
