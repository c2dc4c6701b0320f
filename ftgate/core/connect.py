"""How programs are told of this server: for each tool what to write, and where. The dashboard shows it, and so may a
command.

A tool's `pieces(base, key, model)` says it for a server at `base` (no slash at its end), an API key, or what stands for
one, and a model. Sources: each tool's own documentation, as read in 2026.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence

import msgspec

PLACEHOLDER = "sk-ft_YOUR_KEY"
"""What stands where a key has to be put in."""
KEY_NAME = "FTGATE_API_KEY"
"""The variable that programs are told to find the key in where the name is ours to choose."""
ENVIRONMENT = "environment"
COMMAND = "command"
CONTEXT = 131_072
"""Tokens that a tool is told as a model's context where nobody said more."""
_PLAIN = re.compile(r"[A-Za-z0-9_./:@%+=,-]+")
_HOST = re.compile(r"(?<=://)(\[[^\]]*\]|[^/:]+)")
_HERE = ("127.0.0.1", "localhost", "[::1]", "0.0.0.0")
INSIDE = "host.docker.internal"


class Piece(msgspec.Struct, frozen=True):
    """One thing to set. `where` is a file's path, "environment", "command", or the place in a program's own settings;
    `text` is what to write there, or `rows` the fields of a form with what goes into each."""

    where: str
    text: str = ""
    rows: tuple[tuple[str, str], ...] = ()

    @property
    def shown(self) -> str:
        """As one text."""
        return self.text or "\n".join(f"{name}: {value}" for name, value in self.rows)


Pieces = Callable[[str, str, str], tuple[Piece, ...]]


class Tool(msgspec.Struct, frozen=True):
    """A program that can use this server. `notes` are sentences for its reader; `contained`: it mostly runs in a
    container; `public`: its servers make the calls, so that they must reach this one by https; `either`: one of its
    pieces is enough."""

    id: str
    name: str
    group: str
    pieces: Pieces
    notes: tuple[str, ...] = ()
    contained: bool = False
    public: bool = False
    either: bool = False


def shell(text: str) -> str:
    """A text as one word of a POSIX shell."""
    return text if _PLAIN.fullmatch(text) else "'" + text.replace("'", "'\\''") + "'"


def quoted(text: str) -> str:
    """A text as JSON, TOML, YAML, Python and JavaScript write one."""
    return json.dumps(text, ensure_ascii=False)


def from_container(base: str) -> str:
    """The address under which a container on this machine reaches a server that is at `base` for the machine itself."""
    return _HOST.sub(lambda host: INSIDE if host[0].lower() in _HERE else host[0], base, count=1)


def is_public(base: str) -> bool:
    """Whether somebody else's servers may be able to call this address."""
    return base.startswith("https://") and from_container(base) == base


def _exports(**names: str) -> Piece:
    return Piece(ENVIRONMENT, "\n".join(f"export {name}={shell(value)}" for name, value in names.items()))


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, indent=2)


def _openai(base: str, key: str, model: str) -> tuple[Piece, ...]:
    return (_exports(OPENAI_BASE_URL=f"{base}/v1", OPENAI_API_KEY=key),)


def _anthropic(base: str, key: str, model: str) -> tuple[Piece, ...]:
    return (_exports(ANTHROPIC_BASE_URL=f"{base}/anthropic", ANTHROPIC_API_KEY=key),)


def _claude_code(base: str, key: str, model: str) -> tuple[Piece, ...]:
    names = {
        "ANTHROPIC_BASE_URL": f"{base}/anthropic",
        "ANTHROPIC_AUTH_TOKEN": key,
        "ANTHROPIC_API_KEY": "",
        "ANTHROPIC_MODEL": model,
        "ANTHROPIC_DEFAULT_HAIKU_MODEL": model,  # its small work, which would ask for a model of Anthropic's
    }
    return _exports(**names), Piece("~/.claude/settings.json", _json({"env": names}))


def _codex(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f'model = {quoted(model)}\nmodel_provider = "ftgate"\n\n[model_providers.ftgate]\nname = "ftgate"\n'
        f'base_url = {quoted(f"{base}/v1")}\nenv_key = {quoted(KEY_NAME)}\nwire_api = "responses"'
    )
    return Piece("~/.codex/config.toml", text), _exports(**{KEY_NAME: key})


def _copilot(base: str, key: str, model: str) -> tuple[Piece, ...]:
    return (
        _exports(
            COPILOT_PROVIDER_BASE_URL=f"{base}/v1", COPILOT_PROVIDER_API_KEY=key,
            COPILOT_PROVIDER_WIRE_API="responses", COPILOT_MODEL=model,
        ),
    )  # fmt: skip


def _opencode(base: str, key: str, model: str) -> tuple[Piece, ...]:
    provider = {
        "npm": "@ai-sdk/openai-compatible", "name": "ftgate", "options": {"baseURL": f"{base}/v1", "apiKey": key},
        "models": {model: {"name": model}},
    }  # fmt: skip
    said = {"$schema": "https://opencode.ai/config.json", "provider": {"ftgate": provider}, "model": f"ftgate/{model}"}
    return (Piece("~/.config/opencode/opencode.json", _json(said)),)


def _aider(base: str, key: str, model: str) -> tuple[Piece, ...]:
    exports = _exports(OPENAI_API_BASE=f"{base}/v1", OPENAI_API_KEY=key)
    return exports, Piece(COMMAND, f"aider --model {shell(f'openai/{model}')}")


def _cursor(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("OpenAI API Key", key), ("Override OpenAI Base URL", f"{base}/v1"), ("Add model", model))
    return (Piece("Cursor Settings › Models › API Keys", rows=rows),)


def _continue(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f"name: ftgate\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: {quoted(model)}\n    provider: openai\n"
        f"    model: {quoted(model)}\n    apiBase: {quoted(f'{base}/v1')}\n    apiKey: {quoted(key)}\n"
        "    useResponsesApi: false\n    roles: [chat, edit, apply]"
    )
    return (Piece("~/.continue/config.yaml", text),)


def _cline(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("API Provider", "OpenAI Compatible"), ("Base URL", f"{base}/v1"), ("API Key", key), ("Model ID", model))
    return (Piece("the extension's settings", rows=rows),)


def _zed(base: str, key: str, model: str) -> tuple[Piece, ...]:
    offered = {"name": model, "display_name": model, "max_tokens": CONTEXT}
    said = {
        "language_models": {"openai_compatible": {"ftgate": {"api_url": f"{base}/v1", "available_models": [offered]}}}
    }
    return Piece("~/.config/zed/settings.json", _json(said)), _exports(**{KEY_NAME: key})


def _jetbrains(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("Provider", "OpenAI-compatible"), ("URL", f"{base}/v1"), ("API Key", key), ("Model", model))
    return (Piece("Settings › Tools › AI Assistant › Providers & API keys", rows=rows),)


def _vscode(base: str, key: str, model: str) -> tuple[Piece, ...]:
    offered = {
        "id": model, "name": model, "url": f"{base}/v1/chat/completions", "toolCalling": True, "vision": False,
        "maxInputTokens": CONTEXT, "maxOutputTokens": 8192,
    }  # fmt: skip
    said = [
        {
            "name": "ftgate",
            "vendor": "customendpoint",
            "apiKey": key,
            "apiType": "chat-completions",
            "models": [offered],
        }
    ]
    return (Piece("chatLanguageModels.json (Manage Language Models › Custom Endpoint)", _json(said)),)


def _xcode(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("URL", base), ("API Key Header", "x-api-key"), ("API Key", key), ("Description", "ftgate"))
    return (Piece("Settings › Intelligence › Add a Model Provider › Internet Hosted", rows=rows),)


def _open_webui(base: str, key: str, model: str) -> tuple[Piece, ...]:
    inside = f"{from_container(base)}/v1"
    return (
        Piece("Admin Panel › Settings › Connections › OpenAI API", rows=(("URL", inside), ("Key", key))),
        _exports(OPENAI_API_BASE_URL=inside, OPENAI_API_KEY=key),
    )


def _librechat(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f'endpoints:\n  custom:\n    - name: "ftgate"\n      apiKey: {quoted(key)}\n'
        f"      baseURL: {quoted(f'{from_container(base)}/v1')}\n      models:\n        default: [{quoted(model)}]\n"
        f"        fetch: true\n      titleConvo: true\n      titleModel: {quoted(model)}"
    )
    return (Piece("librechat.yaml", text),)


def _lobehub(base: str, key: str, model: str) -> tuple[Piece, ...]:
    inside = f"{from_container(base)}/v1"
    return (_exports(OPENAI_PROXY_URL=inside, OPENAI_API_KEY=key, OPENAI_MODEL_LIST=f"+{model}"),)


def _n8n(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("API Key", key), ("Base URL", f"{from_container(base)}/v1"))
    return (Piece("Credentials › OpenAI", rows=rows), Piece("OpenAI Chat Model node", rows=(("Model (by ID)", model),)))


def _dify(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (
        ("Model Name", model), ("API Key", key), ("API endpoint URL", f"{from_container(base)}/v1"),
        ("Model context size", str(CONTEXT)),
    )  # fmt: skip
    return (Piece("Settings › Model Provider › OpenAI-API-compatible › Add Model", rows=rows),)


def _langchain(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f"from langchain_openai import ChatOpenAI\n\nmodel = ChatOpenAI(\n    model={quoted(model)},\n"
        f"    base_url={quoted(f'{base}/v1')},\n    api_key={quoted(key)},\n)"
    )
    return (Piece("Python", text),)


def _llamaindex(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f"from llama_index.llms.openai_like import OpenAILike\n\nmodel = OpenAILike(\n    model={quoted(model)},\n"
        f"    api_base={quoted(f'{base}/v1')},\n    api_key={quoted(key)},\n    is_chat_model=True,\n"
        f"    is_function_calling_model=True,\n    context_window={CONTEXT},\n)"
    )
    return (Piece("Python", text),)


def _llm(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f"- model_id: {quoted(f'ftgate/{model}')}\n  model_name: {quoted(model)}\n  api_base: {quoted(f'{base}/v1')}\n"
        "  api_key_name: ftgate"
    )
    return (
        Piece("extra-openai-models.yaml (beside `llm logs path`)", text),
        Piece(COMMAND, f"llm keys set ftgate --value {shell(key)}\nllm -m {shell(f'ftgate/{model}')} 'Hello'"),
    )


def _home_assistant(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("API Key", key), ("Base Url", f"{from_container(base)}/v1"), ("Chat Model", model))
    return (Piece("Extended OpenAI Conversation (HACS)", rows=rows),)


def _claude_desktop(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (
        ("Inference provider", "Gateway"), ("Gateway base URL", f"{base}/anthropic"), ("Gateway API key", key),
        ("Gateway auth scheme", "bearer"), ("Model", model),
    )  # fmt: skip
    return (Piece("Developer › Configure Third-Party Inference", rows=rows),)


def _raycast(base: str, key: str, model: str) -> tuple[Piece, ...]:
    text = (
        f"providers:\n  - id: ftgate\n    name: ftgate\n    base_url: {quoted(f'{base}/v1')}\n    api_keys:\n"
        f"      ftgate: {quoted(key)}\n    models:\n      - id: {quoted(model)}\n        name: {quoted(model)}\n"
        f"        context: {CONTEXT}\n        abilities:\n          temperature:\n            supported: true\n"
        "          system_message:\n            supported: true\n          tools:\n            supported: true"
    )
    return (Piece("~/.config/raycast/ai/providers.yaml", text),)


def _obsidian(base: str, key: str, model: str) -> tuple[Piece, ...]:
    rows = (("Provider", "3rd party (openai-format)"), ("Base URL", f"{base}/v1"), ("API Key", key), ("Model", model))
    return (Piece("Copilot settings › Models › Add Model", rows=rows),)


AGENTS, EDITORS, CHATS, CODE, HOME = "Coding agents", "Editors", "Chat and flows", "Libraries", "Desktop and home"
GROUPS = (AGENTS, EDITORS, CHATS, CODE, HOME)
_ALL = (
    Tool(
        "claude-code", "Claude Code", AGENTS, _claude_code,
        ("Models of other makers may refuse its newest fields: export CLAUDE_CODE_DISABLE_EXPERIMENTAL_BETAS=1.",
         "Its model picker shows this server's models with CLAUDE_CODE_ENABLE_GATEWAY_MODEL_DISCOVERY=1."),
        either=True,
    ),
    Tool("codex", "Codex CLI", AGENTS, _codex, ("Codex speaks the Responses API alone, which this server takes.",)),
    Tool("opencode", "opencode", AGENTS, _opencode),
    Tool("copilot", "GitHub Copilot CLI", AGENTS, _copilot),
    Tool("aider", "Aider", AGENTS, _aider),
    Tool(
        "cursor", "Cursor", EDITORS, _cursor,
        ("An OpenAI key of your own needs a paid plan of Cursor's.",), public=True,
    ),
    Tool("vscode", "VS Code", EDITORS, _vscode, ("From version 1.122 on.",)),
    Tool("cline", "Cline, Roo Code", EDITORS, _cline),
    Tool("continue", "Continue", EDITORS, _continue),
    Tool("zed", "Zed", EDITORS, _zed),
    Tool("jetbrains", "JetBrains AI", EDITORS, _jetbrains),
    Tool("xcode", "Xcode", EDITORS, _xcode),
    Tool("open-webui", "Open WebUI", CHATS, _open_webui, contained=True, either=True),
    Tool("librechat", "LibreChat", CHATS, _librechat, contained=True),
    Tool("lobehub", "LobeHub", CHATS, _lobehub, contained=True),
    Tool(
        "n8n", "n8n", CHATS, _n8n, ("“Use Responses API” in the node may stay on or be switched off: both work.",),
        contained=True,
    ),
    Tool(
        "dify", "Dify", CHATS, _dify,
        ("Its context size is 4096 unless you say the model's own, which the page Models tells.",), contained=True,
    ),
    Tool("openai", "OpenAI SDKs", CODE, _openai, ("Every program that heeds these two names needs nothing else.",)),
    Tool("anthropic", "Anthropic SDKs", CODE, _anthropic),
    Tool("langchain", "LangChain", CODE, _langchain, ("It drops what models think (reasoning_content).",)),
    Tool(
        "llamaindex", "LlamaIndex", CODE, _llamaindex,
        ("Without is_chat_model it calls the older completions route.",),
    ),
    Tool("llm", "llm", CODE, _llm),
    Tool(
        "claude-desktop", "Claude Desktop", HOME, _claude_desktop,
        ("First switch on Help › Troubleshooting › Enable Developer Mode.",
         "It lists by itself only models whose names begin with claude-; name others under Models, or give them such "
         "names with [alias].", "Some versions take https addresses alone."),
    ),
    Tool("raycast", "Raycast", HOME, _raycast),
    Tool("obsidian", "Obsidian Copilot", HOME, _obsidian, ("Switch CORS on for the model if its calls are refused.",)),
    Tool(
        "home-assistant", "Home Assistant", HOME, _home_assistant,
        ("The OpenAI integration that comes with Home Assistant takes no address; this one from HACS does.",),
        contained=True,
    ),
)  # fmt: skip
TOOLS: Mapping[str, Tool] = {tool.id: tool for tool in _ALL}


# One call in several languages


class Chat(msgspec.Struct, frozen=True):
    """A chat call: what the playground makes."""

    model: str
    message: str
    system: str = ""
    max_tokens: int | None = None
    stream: bool = True

    def fields(self) -> dict[str, object]:
        """As the body of an OpenAI chat request."""
        messages = [{"role": "system", "content": self.system}] if self.system else []
        messages.append({"role": "user", "content": self.message})
        said: dict[str, object] = {"model": self.model, "messages": messages}
        if self.max_tokens is not None:
            said["max_tokens"] = self.max_tokens
        return {**said, **({"stream": True} if self.stream else {})}


_PYTHON_ASK = """\
from openai import OpenAI

client = OpenAI(base_url="{base}/v1", api_key="{key}")
{name} = client.chat.completions.create(
    model={model},
    messages={messages},
    max_tokens={cap},
    stream=True,
)
"""
_JAVASCRIPT_ASK = """\
import OpenAI from "openai";

const client = new OpenAI({ baseURL: "{base}/v1", apiKey: "{key}" });
const {name} = await client.chat.completions.create({
  model: {model},
  messages: {messages},
  max_tokens: {cap},
  stream: true,
});
"""
TEMPLATES: Mapping[str, tuple[str, str]] = {
    "curl": (
        "curl {base}/v1/chat/completions \\\n  -H 'Authorization: Bearer {key}' \\\n"
        "  -H 'Content-Type: application/json' \\\n  -d {body}",
        "",
    ),
    "Python": (
        _PYTHON_ASK.replace("{name}", "answer").replace("    stream=True,\n", "")
        + "print(answer.choices[0].message.content)",
        _PYTHON_ASK.replace("{name}", "chunks") + 'for chunk in chunks:\n    if chunk.choices:\n        '
        'print(chunk.choices[0].delta.content or "", end="", flush=True)',
    ),
    "JavaScript": (
        _JAVASCRIPT_ASK.replace("{name}", "answer").replace("  stream: true,\n", "")
        + "console.log(answer.choices[0].message.content);",
        _JAVASCRIPT_ASK.replace("{name}", "chunks")
        + 'for await (const chunk of chunks) process.stdout.write(chunk.choices[0]?.delta?.content ?? "");',
    ),
    "Claude Code": (
        "ANTHROPIC_BASE_URL={base}/anthropic ANTHROPIC_AUTH_TOKEN={key} ANTHROPIC_API_KEY= \\\n"
        "  ANTHROPIC_MODEL={model_word} claude -p {message_word}",
        "",
    ),
}  # fmt: skip
"""For each way a template of a plain call, and of a streamed one where that is another. `{marks}` are replaced, here by
`written` and in the browser by its script; a line with a mark that stands for nothing falls out."""
_MARK = re.compile(r"\{(base|key|model|messages|cap|body|model_word|message_word)\}")


def marks(chat: Chat, base: str, key: str) -> dict[str, str]:
    """What stands for each mark."""
    fields = chat.fields()
    return {
        "base": base, "key": key, "model": quoted(chat.model),
        "messages": json.dumps(fields["messages"], ensure_ascii=False),
        "cap": "" if chat.max_tokens is None else str(chat.max_tokens),
        "body": shell(json.dumps(fields, ensure_ascii=False)), "model_word": shell(chat.model),
        "message_word": shell(chat.message),
    }  # fmt: skip


def template(name: str, *, stream: bool) -> str:
    """The template of a way to call."""
    plain, streamed = TEMPLATES[name]
    return streamed if stream and streamed else plain


def written(chat: Chat, base: str, key: str = PLACEHOLDER) -> Sequence[tuple[str, str]]:
    """The call in each way, by its name."""
    said = marks(chat, base, key)
    found = []
    for name in TEMPLATES:
        lines = template(name, stream=chat.stream).split("\n")
        kept = [line for line in lines if all(said[mark] for mark in _MARK.findall(line))]
        found.append((name, _MARK.sub(lambda mark: said[mark[1]], "\n".join(kept))))
    return found
