"""Models by name: specs, weights, counts."""
