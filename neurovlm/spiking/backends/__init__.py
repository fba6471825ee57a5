"""Engines that run a SpikingGraph; each imports its simulator only when it runs."""
