"""The topics of the manual that follow from declarations; scripts/manual writes them."""
