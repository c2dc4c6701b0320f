"""Every setting from the file to its effect: see test_walk.py."""
