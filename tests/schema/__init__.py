"""The running server against its own document: `scripts/schema`, with schemathesis."""
