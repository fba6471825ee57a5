"""Energy, latency and power of a run from its operation counts."""
