"""Bugs planted on purpose, one at a time, to see that the suite finds each: a test that cannot fail tests nothing.

`plant.py` says what a plant is and how it is tried; the other modules list them, one module a room of ftgate.
`scripts/plants` tries them all in a copy of the tree and prints which were caught; tests/test_plants.py sees at every
run of the suite that each still fits the source.

A plant is a bug that a careless edit makes: a check dropped, a field forgotten, two arguments swapped, a shield lost.
One that no test notices shows which test is missing. Its tests are the fewest that ought to notice: a file where that
is quick, else one test of it.
"""
