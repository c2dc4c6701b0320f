"""Words that stand on many pages: where one can go, what was done, what our words mean."""

PLACES = (
    ("/", "Overview"),
    ("/logs", "Calls"),
    ("/keys", "Keys"),
    ("/prices", "Models"),
    ("/playground", "Playground"),
    ("/billing", "Credits"),
    ("/connect", "Connect"),
    ("/profile", "Account"),
)
"""The navigation, with the path at which each place begins."""
OPERATOR_PLACES = (
    ("/admin/channels", "Channels"),
    ("/admin/users", "Users"),
    ("/admin/calls", "Calls now"),
    ("/admin/ledger", "Ledger"),
    ("/admin/payments", "Payments"),
    ("/admin/prices", "Prices"),
    ("/admin/config", "Config"),
    ("/admin/system", "System"),
    ("/admin/audit", "Audit"),
)
SAID = {
    "signed_out": "You are signed out.",
    "channel_on": "Switched on: calls go there again.",
    "channel_off": "Switched off: no new call goes there.",
    "channel_reset": "What was known against it is forgotten: the next call may go there.",
    "call_stopped": "The call was stopped, and its money settled.",
    "call_over": "That call had ended already.",
    "operator_made": "You are the operator of this gateway, and signed in. The link has ended.",
    "key_changed": "The key is changed: it holds from the next call on.",
    "key_enabled": "The key is enabled.",
    "key_disabled": "The key is disabled: calls with it are refused until it is enabled again.",
    "key_deleted": "The key is deleted.",
}
"""What was done, as the next page says it: `?said=` in an address is one of these words, and no text of its own."""
MEANINGS = {
    "held": "Set aside for calls that are running. When a call ends it pays what it used, and the rest is free again.",
    "exact": "Counted by the provider.",
    "estimated": "The provider gave no count, so the tokens were estimated from the text.",
    "first token": "The time from the request to the first token of the answer. Only streams have one.",
    "runway": "How long the credits last if every day costs as much as the last seven did on average.",
    "cached": "Tokens of the prompt that the provider had kept from before, at a lower price.",
    "metered": "Calls are counted and priced, but need no credits.",
    "byok": "Bring your own key: calls that go to a provider with a key of yours. They cost no credits.",
    "circuit": "After several failures in a row a model at a channel is left out for a while (open), then tried with"
    " one call (half-open), and is used again once that call is answered (closed).",
    "cool-down": "A provider said that a key has reached its limit: it is not used until then.",
    "channel": "One way to a provider: an address, keys, models and prices.",
}
"""What a word of ours means, for whoever points at it."""
