"""The ledger on PostgreSQL, shared by several gateways: nothing here is loaded where a file is enough."""
