"""Arguments and printing. Each command calls one function."""
