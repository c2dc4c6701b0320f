"""The process: its sockets and files, what it makes of the settings, how it ends."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "everybody may open the control socket",
        "ftgate/house/control.py",
        "os.umask(0o177)",
        "os.umask(0o111)",
        "tests/house/test_control.py",
    ),
    Plant(
        "a plan does not say how it bills",
        "ftgate/house/house.py",
        "(terms.mode or self.settings.billing.mode)",
        "self.settings.billing.mode",
        "tests/house/test_house.py",
    ),
    Plant(
        "a plan has no rate limits of its own",
        "ftgate/house/live.py",
        "(plan and plan.rates) or settings.limits",
        "settings.limits",
        "tests/house/test_serving.py",
    ),
    Plant(
        "accounts have no rate limits",
        "ftgate/house/live.py",
        "return settings.limits_account",
        "return Rates()",
        "tests/house/test_serving.py",
    ),
    Plant(
        "a plan's factor does not reach the gate",
        "ftgate/house/live.py",
        "multiplier=ONE if plan.price_multiplier == ONE else plan.price_multiplier",
        "multiplier=ONE",
        "tests/walk/test_walk.py::test_a_setting_has_its_effect[plan.default.price_multiplier]",
    ),
    Plant(
        "a plan's models do not reach the gate",
        "ftgate/house/live.py",
        'models=() if plan.models == ("*",) else plan.models',
        "models=()",
        "tests/walk/test_walk.py::test_a_setting_has_its_effect[plan.default.models]",
    ),
    Plant(
        "log lines hold secrets",
        "ftgate/house/log.py",
        "return scrub(super().format(record))",
        "return super().format(record)",
        "tests/house/test_log.py::test_a_line_is_text_without_secrets",
    ),
    Plant(
        "a message in the log is more than one line",
        "ftgate/house/log.py",
        "return plain(super().formatMessage(record))",
        "return super().formatMessage(record)",
        "tests/house/test_log.py::test_a_line_is_text_without_secrets",
    ),
    Plant(
        "the data directory is for everybody to read",
        "ftgate/house/lock.py",
        "path.mkdir(mode=0o700, ",
        "path.mkdir(mode=0o755, ",
        "tests/house/test_lock.py",
    ),
    Plant(
        "a crash charges as the config says not to",
        "ftgate/house/house.py",
        'self.settings.database.expired_hold == "charge_estimate"',
        'self.settings.database.expired_hold != "charge_estimate"',
        "tests/house/test_house.py",
    ),
    Plant(
        "a gateway that winds down takes new calls",
        "ftgate/house/serving.py",
        "    gate.closing = True\n",
        "",
        "tests/house/test_serving.py",
    ),
    Plant(
        "a database that failed ends the process as if all were well",
        "ftgate/house/serving.py",
        "            code = 1\n",
        "            code = 0\n",
        "tests/house/test_serving.py",
    ),
    Plant(
        "a house whose file was replaced serves on",
        "ftgate/house/files.py",
        "elif found != known:",
        "elif found[0] != known[0]:",
        "tests/house/test_files.py",
    ),
)
