"""The dashboard: pages that a person opens, written on the server. They use the same services as the API and keep
nothing of their own.

A page is one module here and some templates (web/templates). It asks the Desk who is there, reads what it shows from
Services, and answers with `desk.show`; a form posts to a path of its own, and is answered with `desk.go` (303) where it
did something, or with the same page again, what was typed in it kept, where it did not.

    @routes.get("/keys/<id>")
    async def one(id: str) -> Response:
        asker = await desk.person()
        return desk.show("keys/one.html", asker, key=services.keys.shown(number(id), asker.account))

    @routes.post("/keys/<id>")
    async def change(id: str) -> Response:
        asker = await desk.person()  # first: it also proves that our own page asks (CSRF)
        form = await desk.form()
        with form.trying():  # a GateError stays in the form, and is shown beside its field
            said = form.fields("name", lists=("models",), nulls=("quota",))  # read as the API reads it
            await services.keys.change(number(id), asker.account, wanted(said), doer(asker))
        return desk.go(f"/keys/{id}", said="key_changed") if form.done else desk.show("keys/one.html", ..., form=form)

- `base.html` has the frame: navigation, title, the one sentence of state, the primary action. `parts.html` has the
  macros for all that looks alike on every page: fields, figures, times, states, dialogs, lists, what is copied.
- No script or style stands in a page (Content-Security-Policy): scripts are /static/*.js, and find what they work on by
  `data-` attributes. Every page works without them.
- Money is given as units or as a text of USD (or of cents, `cents=true`) and shown by the filter `money` in tables and
  `usd` in text; times as microseconds since 1970 or ISO text, by the macro `moment`, which the script puts into the
  viewer's zone.
- A list is a table in `<div class="table">` of the class `cards`, each cell with its `data-label`; its filters are a
  GET form, so that the address is the filter; each list also comes as CSV or JSON (`?format=`).
"""
