"""One call from key to settle."""
