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
MOST_REF = 100
REF = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
"""What somebody outside may call an entry of the ledger."""
REF_WORDS = f"1 to {MOST_REF} letters, digits, dots, dashes, underscores or colons, beginning with a letter or digit"
"""The same, for people."""
