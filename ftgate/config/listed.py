"""The catalogue's providers as the manual and the example show them."""

from ftgate.config.shipped import provider, provider_names


def provider_table() -> str:
    """Markdown: each provider's name in a config, what it is, and the variable its key is looked for in."""
    rows = ["| `provider =` | what | key from | models |", "|---|---|---|---|"]
    for name in provider_names():
        its = provider(name)
        keys = ", ".join(f"`{variable}`" for variable in its.env) or "-"
        rows.append(f"| `{name}` | {its.title} | {keys} | {len(its.models) or 'yours'} |")
    return "\n".join(rows) + "\n"


def provider_comment(width: int) -> str:
    """TOML comments: all names of providers, and the variables a start without channels looks at."""
    variables = [provider(name).env[0] for name in provider_names() if provider(name).env]
    return _wrapped("Providers: ", provider_names(), width) + _wrapped("Their keys: ", variables, width)


def _wrapped(head: str, words: tuple[str, ...] | list[str], width: int) -> str:
    lines, line = [], f"# {head}"
    for index, word in enumerate(words):
        word += "," if index < len(words) - 1 else "."
        if len(line) + len(word) > width:
            lines.append(line.rstrip())
            line = "#   "
        line += f"{word} "
    return "\n".join([*lines, line.rstrip()]) + "\n"
