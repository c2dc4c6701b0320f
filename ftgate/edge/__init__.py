"""All I/O: doors, transports, database, ledger, keys, control socket. Edge modules do not know each other (db excepted)."""
