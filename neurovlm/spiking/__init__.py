"""Spiking graphs and the engines that run them with the same spikes."""
