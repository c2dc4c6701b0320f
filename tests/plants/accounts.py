"""Users, their keys and credits, in memory and after a start."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "a disabled user's keys go on",
        "ftgate/accounts/users.py",
        "self.directory.keep_key(key)",
        "pass",
        "tests/accounts/test_users.py::test_disabling_a_user_stops_all_its_keys_and_nobody_elses",
    ),
    Plant(
        "a deleted key goes on until the next start",
        "ftgate/accounts/keys.py",
        "self.directory.by_hash.pop(key.hash, None)",
        "pass",
        "tests/accounts/test_keys.py",
    ),
    Plant(
        "a disabled key is active",
        "ftgate/accounts/directory.py",
        'active=key.status == "active"',
        'active=key.status != "deleted"',
        "tests/accounts/test_keys.py",
    ),
    Plant(
        "a start forgets what keys have spent",
        "ftgate/accounts/directory.py",
        "limit=key.quota, used=spent.get(key.id, 0)",
        "limit=key.quota",
        "tests/accounts/test_directory.py",
    ),
    Plant(
        "a start forgets what metered accounts have used",
        "ftgate/accounts/directory.py",
        "posted=posted, used=used, metered",
        "posted=posted, metered",
        "tests/accounts/test_directory.py",
    ),
    Plant(
        "a start takes corrections downwards for grants",
        "ftgate/accounts/credits.py",
        '-amount if debit == "credits" else amount',
        "amount",
        "tests/accounts/test_credits.py",
    ),
    Plant(
        "a ref is taken for done whatever its amount was",
        "ftgate/accounts/credits.py",
        "known == (kind, user.id, amount)",
        "known[:2] == (kind, user.id)",
        "tests/accounts/test_credits.py",
    ),
    Plant(
        "the list of keys shows most of each",
        "ftgate/accounts/keys.py",
        "prefix=secret[:12]",
        "prefix=secret[:40]",
        "tests/accounts/test_keys.py",
    ),
    Plant(
        "an empty list of models is leave to call everything",
        "ftgate/accounts/keys.py",
        "if models is not None and not only:",
        "if models and not only:",
        "tests/accounts/test_keys.py",
    ),
    Plant(
        "the key's own list of models is not kept",
        "ftgate/accounts/directory.py",
        "models=key.models,",
        "models=(),",
        "tests/accounts/test_keys.py",
    ),
    Plant(
        "passwords of older cost are not known any more",
        "ftgate/accounts/passwords.py",
        "n=int(n), r=int(r), p=int(p))",
        "**_COST)",
        "tests/accounts/test_passwords.py::test_an_older_hash_is_read_with_its_own_parameters",
    ),
    Plant(
        "a grant may be negative",
        "ftgate/accounts/given.py",
        "if units < 0:",
        "if units is None:",
        "tests/accounts/test_credits.py",
    ),
    Plant(
        "a plan that bills otherwise shows after a restart only",
        "ftgate/accounts/directory.py",
        "                balance.metered = metered\n",
        "",
        "tests/accounts/test_directory.py",
    ),
    Plant(
        "a deleted key comes back with other plans",
        "ftgate/accounts/directory.py",
        "if key.hash in self.by_hash:",
        "if True:",
        "tests/accounts/test_directory.py",
    ),
)
