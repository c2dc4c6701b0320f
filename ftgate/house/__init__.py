"""THE PROCESS: an open data directory (house), what it takes to serve it (serving), what the rooms go by of its
settings (live), how the command line reaches it (control), that it is alone (lock), where tests can end it
(failpoint)."""
