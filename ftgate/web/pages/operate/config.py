"""The settings in force, where each comes from, whether what is written can be used, and reading it again."""

from collections.abc import Mapping, Sequence

from quart import Blueprint, Response, request

from ftgate.errors import ConfigInvalid
from ftgate.web.asking import Asker, doer
from ftgate.web.pages.desk import Desk
from ftgate.web.pages.forms import Form


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    def page(
        asker: Asker, form: Form | None = None, faults: Sequence[str] | None = None,
        done: Mapping[str, object] | None = None,
    ) -> Response:  # fmt: skip
        shown = services.config.shown()
        rows = shown["settings"]
        assert isinstance(rows, list)
        wanted = request.args.get("q", "").strip().lower()
        given = request.args.get("given") == "on"
        found = [
            row for row in rows
            if wanted in str(row["name"]).lower() and (not given or row["origin"] != "default")
        ]  # fmt: skip
        return desk.show(
            "operate/config.html", asker, form=form, config=shown, sections=_sections(found), many=len(rows),
            waiting=[row for row in rows if "after_restart" in row], faults=faults, done=done,
        )  # fmt: skip

    @routes.get("/admin/config")
    async def config() -> Response:
        asker = await desk.operator()
        return desk.tidied() or page(asker)

    @routes.post("/admin/config/check")
    async def check() -> Response:
        asker = await desk.operator()
        return page(asker, faults=await services.config.check())

    @routes.post("/admin/config/reload")
    async def reload() -> Response:
        asker = await desk.operator()
        form, faults = await desk.form(), None
        done: Mapping[str, object] | None = None
        with form.trying():
            try:
                done = await services.config.reload(doer(asker))
            except ConfigInvalid as invalid:
                faults = invalid.faults
        return page(asker, form, faults, done)


def _sections(rows: Sequence[Mapping[str, object]]) -> Mapping[str, Sequence[Mapping[str, object]]]:
    """The settings by the first part of their names."""
    found: dict[str, list[Mapping[str, object]]] = {}
    for row in rows:
        found.setdefault(str(row["name"]).partition(".")[0], []).append(row)
    return found
