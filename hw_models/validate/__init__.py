"""Published measurements against predictions: read, predict, score, show."""
