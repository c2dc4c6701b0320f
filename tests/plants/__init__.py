"""Bugs planted on purpose, one at a time, to see that the suite finds each: a test that cannot fail tests nothing.

`plant.py` says what a plant is and how it is tried, `line.py` and the other modules list them by room. `scripts/plants`
tries them all in a copy of the tree and prints which were caught.
"""
