"""THE PROCESS: an open data directory (house), what it takes to serve it (serving), what the rooms go by of its
settings (live), how the command line reaches it (control), that it is alone (lock), what an operator sees of it
(system) and of its prices (price_desk), where tests can end it (failpoint)."""
