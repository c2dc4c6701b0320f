"""Card payments, for operators: all of them, one, and deciding those that are not as they were asked for."""

from quart import Blueprint, Response

from ftgate.core.payments import STATUSES
from ftgate.ports.managing import Moves
from ftgate.web.api import payments
from ftgate.web.asking import Asker, doer
from ftgate.web.pages import lists
from ftgate.web.pages.desk import Desk, part
from ftgate.web.pages.forms import Form
from ftgate.web.pages.whose import nobodys, whose

MOST_ENTRIES = 20


def add(routes: Blueprint, desk: Desk) -> None:
    services = desk.services

    async def listing(asker: Asker, form: Form | None = None) -> Response:
        of = whose(desk)
        found = (
            nobodys("payments") if of.missing else await payments.page(services.payments, of.account, operator=True)
        )  # fmt: skip
        if (file := lists.form()) != "html":
            return lists.as_file(found, "payments", file)
        _, waiting, _ = await services.payments.page(
            None, status="quarantined", after=None, skipped=0, size=1, operator=True
        )  # fmt: skip
        return desk.show(
            "operate/payments.html", asker, form=form, found=found, statuses=STATUSES, waiting=waiting,
            taken=services.payments.amounts() is not None, heard=services.payments.takes_events(),
            missing=of.missing,
        )  # fmt: skip

    @routes.get("/admin/payments")
    async def listed() -> Response:
        asker = await desk.operator()
        return desk.tidied() or await listing(asker)

    @routes.post("/admin/payments/reconcile")
    async def reconcile() -> Response:
        asker = await desk.operator()
        form = await desk.form()
        with form.trying():
            await services.payments.reconcile(doer(asker))
        return desk.go("/admin/payments", said="reconciled") if form.done else await listing(asker, form)

    async def page(asker: Asker, id: str, form: Form | None = None) -> Response:
        payment = await services.payments.one(None, id)
        session = payment["session_id"]
        entries, _, _ = (
            await services.records.entries(Moves(ref=str(session)), after=None, skipped=0, size=MOST_ENTRIES)
            if session else ((), 0, None)
        )  # fmt: skip
        return desk.show("operate/payment.html", asker, form=form, payment=payment, entries=entries)

    @routes.get("/admin/payments/<id>")
    async def one(id: str) -> Response:
        return await page(await desk.operator(), id)

    @routes.post("/admin/payments/<id>/resolve")
    async def resolve(id: str) -> Response:
        asker = await desk.operator()
        form = await desk.form()
        with form.trying():
            with form.reading():
                action, note = payments.decided(form.fields("action", "note"))
            await services.payments.resolve(id, action=action, note=note, by=doer(asker))
        return desk.go(f"/admin/payments/{part(id)}", said="payment_resolved") if form.done else await page(
            asker, id, form
        )  # fmt: skip
