"""Lava processes of this project: nothing but ``process`` and ``models``, absolute imports only.

Lava finds the models of a process by executing every file beside it, and swallows the error when
one of them cannot be imported on its own.
"""
