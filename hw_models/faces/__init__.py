"""The commands of ``python -m hw_models``: each module adds its parser and returns its text."""
