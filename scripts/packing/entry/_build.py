"""What the file holds. In the one file the builder's own words stand in its place."""

VERSION = ""
ID = ""
"""16 hex digits that stand for all that is inside."""
MEGABYTES = 0
"""What a first start needs on the disk."""
PYTHONS = ((3, 11),)
TARGETS = ("",)
