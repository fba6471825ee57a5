"""Nothing but ``process`` and ``models``: Lava executes every file beside a process it looks up."""
