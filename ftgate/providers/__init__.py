"""The catalogue: one TOML per provider, and its reader. A new provider is one TOML."""
