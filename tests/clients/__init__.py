"""`scripts/clients`: ftgate tried with the real clients that are not Python packages, over each kind of channel.

Two SDKs in JavaScript run the checks of *.mjs; three command lines answer a question and write a file. package.json
pins them all. Nothing here reaches further than this machine, but for npm, which installs what is pinned.
"""
