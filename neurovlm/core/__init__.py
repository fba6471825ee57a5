"""What every layer may use: errors, the patch grid, the change mask, optional imports."""
