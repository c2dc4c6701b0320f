"""Words about accounts that the wire, the config and the database share. How a quota begins anew is in windows.py, how
a payment stands in payments.py."""

import re

ROLES = ("user", "admin")
"""What an account may be."""
STATUSES = ("active", "disabled")
"""How an account or a key may be set."""
SHOWN_STATUSES = (*STATUSES, "expired")
"""How a key may be."""
MODES = ("prepaid", "metered")
"""How an account pays."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
"""What an account is called."""
NAME_WORDS = "a username is 1 to 64 letters, digits, dots, dashes, underscores or @, beginning with a letter or digit"
CHOSEN_NAME = re.compile(r"[A-Za-z0-9]{3,32}")
"""What one may be called that somebody makes alone, by registering."""
CHOSEN_NAME_WORDS = "a username is 3 to 32 letters and digits"
MOST_PASSWORD = 1024
"""Bytes of a password."""
MOST_REF = 100
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
"""What somebody outside may call an entry of the ledger."""
REF_WORDS = f"1 to {MOST_REF} letters, digits, dots, dashes, underscores or colons, beginning with a letter or digit"
"""The same, for people."""


def password_fault(password: str, least: int) -> str:
    """What is wrong with a password that is to be set, of `least` bytes or more; "" where nothing is."""
    return (
        "" if least <= len(password.encode()) <= MOST_PASSWORD else f"a password has {least} to {MOST_PASSWORD} bytes"
    )
