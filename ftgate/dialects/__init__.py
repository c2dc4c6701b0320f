"""Wire protocols, pure and sans-I/O. Each dialect is one file with the same names."""
