"""Sparse temporal token fusion: compute the tokens that changed, remember the others."""
