"""Prices in force, where they come from, and a public list's beside them and into the config."""

from collections.abc import Mapping

from quart import Blueprint, Response

from ftgate.errors import InvalidRequest
from ftgate.ports.operator import PriceList
from ftgate.web.asking import Asker, doer
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.forms import Form

FORMATS = (
    ("models.dev", "models.dev: api.json"),
    ("litellm", "LiteLLM: model_prices_and_context_window.json"),
    ("openrouter", "OpenRouter: /api/v1/models"),
)
MOST_BYTES = 8 * 1024 * 1024
"""Of a list that is sent: LiteLLM's has two million."""
MOST_SHOWN = 20_000
"""Characters of a pasted list that are shown again."""


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    def page(asker: Asker, form: Form | None = None) -> Response:
        rows = services.prices.shown()
        names = sorted({str(row["provider"]) for row in rows})
        providers = [("", "all that have a channel"), *((name, name) for name in names)]
        if form is not None and len(form.said("list")) > MOST_SHOWN:
            form.texts["list"] = [""]
        return desk.show(
            "operate/prices.html", asker, form=form, part=lists.part(rows), providers=providers, formats=FORMATS,
            named=sum(row["date"] is None for row in rows),
        )  # fmt: skip

    @routes.get("/admin/prices")
    async def prices() -> Response:
        return page(await desk.operator())

    @routes.post("/admin/prices/compare")
    async def compare() -> Response:
        asker, form = await desk.operator_with_file(MOST_BYTES)
        found: Mapping[str, object] = {}
        with form.trying():
            found = await services.prices.compare(_asked(form))
        if not form.done:
            return page(asker, form)
        return desk.show("operate/compared.html", asker, found=found, asked=_asked(form, needed=False))

    @routes.post("/admin/prices/apply")
    async def apply() -> Response:
        asker = await desk.operator()
        form = await desk.form()
        with form.trying():
            done = await services.prices.apply(form.said("id"), force=form.ticked("force"), by=doer(asker))
        if not form.done:
            return page(asker, form)
        return desk.go("/admin/prices", said="prices_written" if done["written"] else "prices_same")


def _asked(form: Form, *, needed: bool = True) -> PriceList:
    """The list that was sent, as a file or as a text. Raises InvalidRequest."""
    said = form.fields("format", "provider", flags=("new",))
    format = said.needed("format", said.choice("format", [name for name, _ in FORMATS]))
    data = form.files.get("file") or form.said("list").encode("utf-8", "replace")
    if needed and not data.strip():
        raise InvalidRequest("Choose the list's file, or paste its text.", code="missing_field", param="file")
    return PriceList(format, data, said.line("provider", most=100), said.flag("new"))
