"""Passwords are hashed cheaply in tests, but where the cost itself is what is tested (tests/accounts/test_passwords.py)
and in processes that start from nothing."""

from ftgate.accounts import passwords

REAL = passwords._COST, passwords._ENOUGH
CHEAP = {"n": 2, "r": 1, "p": 1}


def cheapen() -> None:
    """In this process, from now on: hundreds of accounts are made here, each a quarter of a second otherwise."""
    passwords._COST, passwords._ENOUGH = CHEAP, (CHEAP, *REAL[1])
