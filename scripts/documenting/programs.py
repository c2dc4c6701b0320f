"""The topic `programs`: what `ftgate connect` says of each program, for a server at an example address."""

from ftgate.core.connect import COMMAND, ENVIRONMENT, GROUPS, PLACEHOLDER, TOOLS, Piece, Tool

HEAD = """\
# Programs

The settings of each program that is known here: editors, chat programs, libraries.

Below the server listens at `http://127.0.0.1:8400`, or at `https://llm.example.org` for programs whose own servers
make the calls. The key is one of yours (`ftgate keys create`), and the model any name of `ftgate models list`; `auto`
lets the server choose. `ftgate connect` lists the programs, `ftgate connect aider` prints this with the address of
the server that runs here, and `ftgate connect opencode --write` puts it into the program's own file, where it has
one; `--restore` undoes that. The page Connect of the dashboard has the same, with a button to copy.

Any other program that lets you set OpenAI's base URL works too: its base URL is the server's address with `/v1`. One
that speaks Anthropic's protocol takes the address with `/anthropic`. A missing or doubled slash or `/v1` is forgiven.
"""
HERE, OUTSIDE = "http://127.0.0.1:8400", "https://llm.example.org"
LANGUAGES = {"json": "json", "toml": "toml", "yaml": "yaml", "yml": "yaml", "py": "python", "js": "javascript"}


def programs() -> str:
    """The topic's text."""
    parts = [HEAD]
    for group in GROUPS:
        parts.append(f"\n## {group}\n")
        parts += [_told(tool) for tool in TOOLS.values() if tool.group == group]
    return "".join(parts)


def _told(tool: Tool) -> str:
    pieces = tool.pieces(OUTSIDE if tool.public else HERE, PLACEHOLDER, "auto")
    either = "\nEither of these is enough.\n" if tool.either and len(pieces) > 1 else ""
    notes = "".join(f"\n{note}\n" for note in tool.notes)
    return f"\n### {tool.name}\n\n`ftgate connect {tool.id}`\n{either}{''.join(map(_piece, pieces))}{notes}"


def _piece(piece: Piece) -> str:
    if piece.rows:
        return f"\nIn {piece.where}:\n\n" + "".join(f"- {name}: `{value}`\n" for name, value in piece.rows)
    where = {ENVIRONMENT: "In the environment:", COMMAND: "The command:"}.get(piece.where, f"In `{piece.where}`:")
    shell = piece.where in (ENVIRONMENT, COMMAND)
    language = "sh" if shell else LANGUAGES.get(piece.where.rpartition(".")[2], "text")
    return f"\n{where}\n\n```{language}\n{piece.text}\n```\n"
