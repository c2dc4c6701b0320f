"""What the manual says of reverse proxies, tried with the real ones: `scripts/proxies`, beside the suite."""
