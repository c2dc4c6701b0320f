"""The operator's pages: what runs, who uses it, the money, the settings. Each begins with `desk.operator()`."""

from ftgate.web.pages.operate import audit, calls, channels, config, keys, ledger, payments, prices, system, users

PAGES = (channels, calls, users, keys, ledger, payments, prices, config, system, audit)
