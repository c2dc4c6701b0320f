"""What scripts/audit looks at: whether all that is locked has hashes and wheels, and what is known against it."""
