"""Pure decisions: money, prices, books, limits, routes, estimates. No I/O, no clock, no randomness, no logging."""
