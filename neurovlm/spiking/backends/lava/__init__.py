"""Intel's Lava simulator as a backend, run in a child process."""
