"""How fast pruned networks run here, and in other programs."""
