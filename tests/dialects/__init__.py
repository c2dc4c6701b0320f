"""The wire protocols, read whole and cut everywhere."""
