"""Event-camera recordings: the stream type, file readers, windows, procedural scenes."""
