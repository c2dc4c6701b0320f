"""Wire protocols, pure and sans-I/O. Each dialect is one module or one package with the same names."""
