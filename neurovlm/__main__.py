"""``python -m neurovlm`` is the command ``neurovlm``."""

from neurovlm.cli import main

main()
