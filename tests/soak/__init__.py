"""A long run of everything at once: scripts/soak."""
