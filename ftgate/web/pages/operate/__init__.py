"""The operator's pages: what runs, who uses it, the money, the settings. Each begins with `desk.operator()`."""

from ftgate.web.pages.operate import calls, channels, keys, ledger, payments, prices, users

PAGES = (channels, calls, users, keys, ledger, payments, prices)
