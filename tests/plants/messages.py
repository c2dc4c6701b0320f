"""Bugs in Anthropic's Messages."""

from tests.plants.plant import Plant

PLANTS = (
    Plant(
        "what is cached for an hour costs as for five minutes",
        "ftgate/dialects/anthropic_messages/usage.py",
        "            cache_write_1h=hour,",
        "            cache_write_1h=0,",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "what an answer's own compaction took is free",
        "ftgate/dialects/anthropic_messages/usage.py",
        '        for name, number in _iterated(said.get("iterations")).items():',
        "        for name, number in _iterated(None).items():",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "a search that is billed by use goes up",
        "ftgate/dialects/anthropic_messages/request.py",
        '        if kind != "custom" and not kind.startswith((*_CALLER_RUNS, *_PROVIDER_RUNS)):',
        '        if kind.startswith("code"):',
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "faster service goes up unpriced",
        "ftgate/dialects/anthropic_messages/request.py",
        "    drop = {*OWN_FIELDS, *_UNPRICED, *aim.drop}",
        "    drop = {*OWN_FIELDS, *aim.drop}",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "a thought under our mark goes up",
        "ftgate/dialects/anthropic_messages/marks.py",
        "    return isinstance(seal, str) and seal.startswith(MARK)",
        "    return False",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "an upstream's end marker passes before the money is settled",
        "ftgate/dialects/anthropic_messages/stream.py",
        "            self.state = TABLE[self.state][Sign.mark]\n            return\n",
        "            self._pass(event.raw, Sign.mark)\n            return\n",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "an event without its name goes on without it",
        "ftgate/dialects/anthropic_messages/stream.py",
        "        if (event.name is None and name) or event.stray:",
        "        if event.stray:",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "a model that nobody knows is a bad request",
        "ftgate/dialects/anthropic_messages/errors.py",
        '    if error.code == "model_not_found":\n        return 404\n',
        "",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "providers that are overloaded are away",
        "ftgate/dialects/anthropic_messages/errors.py",
        "    return 529 if error.overloaded else error.status",
        "    return error.status",
        "tests/dialects/test_anthropic_messages.py",
    ),
    Plant(
        "a later call's parts go into the open one",
        "ftgate/dialects/anthropic_messages/written.py",
        "        elif isinstance(event, CallPart) and event.key == self._call:",
        "        elif isinstance(event, CallPart):",
        "tests/dialects/test_anthropic_messages_writer.py",
    ),
    Plant(
        "all answers share an id",
        "ftgate/dialects/anthropic_messages/written.py",
        'f"msg_{self.told.mark}"',
        '"msg_ftgate"',
        "tests/blackbox/test_messages.py",
    ),
    Plant(
        "a thought goes to its client without a seal",
        "ftgate/dialects/anthropic_messages/written.py",
        '        if self._open == "thinking" and not self._sealed:\n            self._sign(MARK, written)\n',
        "",
        "tests/dialects/test_anthropic_messages_writer.py",
    ),
    Plant(
        "a call without input breaks its clients",
        "ftgate/dialects/anthropic_messages/heard.py",
        "                if self._calls.pop(index, True) is False:\n",
        "                if self._calls.pop(index, True) is None:\n",
        "tests/dialects/test_anthropic_messages.py",
    ),
)
