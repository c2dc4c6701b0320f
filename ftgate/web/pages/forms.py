"""A form as a browser sends it, and what was wrong with it."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from io import BytesIO
from typing import IO
from urllib.parse import parse_qs

import msgspec
from werkzeug.exceptions import HTTPException
from werkzeug.formparser import FormDataParser
from werkzeug.http import parse_options_header

from ftgate.errors import GateError, InvalidRequest
from ftgate.web import fields
from ftgate.web.asking import CSRF_FIELD

MOST_FIELDS = 500


class Form:
    """Texts by name. A field that was left empty counts as not given, but is shown again as it was; a name may stand
    several times (boxes that are ticked).

    `errors` is what went wrong with it, nothing as long as nothing did; `done` whether something was tried, and did not
    go wrong."""

    def __init__(self, texts: dict[str, list[str]]) -> None:
        self.texts = texts
        self.files: dict[str, bytes] = {}
        self.errors: list[GateError] = []
        self.done = False
        self._reading = False
        self._focused = False

    @classmethod
    def of(cls, body: bytes) -> "Form":
        """Raises InvalidRequest."""
        try:
            texts = parse_qs(body.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=MOST_FIELDS)
        except ValueError:
            raise InvalidRequest("this is no form as browsers send it") from None
        return cls({name: [text.replace("\r\n", "\n") for text in said] for name, said in texts.items()})

    @classmethod
    def of_parts(cls, body: bytes, kind: str) -> "Form":
        """One that holds files, of this content type. A file that was not chosen is not there. Raises
        InvalidRequest."""
        mimetype, options = parse_options_header(kind)
        parser = FormDataParser(
            stream_factory=_in_memory, max_form_memory_size=len(body), max_form_parts=MOST_FIELDS, silent=False
        )
        try:
            _, texts, files = parser.parse(BytesIO(body), mimetype, len(body), options)
        except (ValueError, HTTPException):
            raise InvalidRequest("this is no form as browsers send it") from None
        form = cls({name: [text.replace("\r\n", "\n") for text in said] for name, said in texts.lists()})
        form.files = {name: data for name, file in files.items() if (data := file.stream.read())}
        return form

    @property
    def csrf(self) -> str:
        """What proves that our own page sent it."""
        return self.said(CSRF_FIELD)

    def said(self, name: str, default: str = "") -> str:
        """A field as it was typed; `default` where this form was never sent, or has no such field."""
        return self.texts[name][-1] if name in self.texts else default

    def every(self, name: str) -> Sequence[str]:
        """What was said under this name, as often as it stands there; empty texts are left out."""
        return [text for text in self.texts.get(name, ()) if text.strip()]

    def ticked(self, name: str, value: str = "on", *, default: bool = False) -> bool:
        """Whether a box is ticked; `default` where this form was never sent."""
        return value in self.texts.get(name, ()) if self.texts else default

    def also(self, texts: Mapping[str, list[str]]) -> "Form":
        """This form, read as if these texts had come in it; what is wrong with them is this one's."""
        form = copy(self)
        form.texts = {**self.texts, **texts}
        return form

    @property
    def error(self) -> GateError | None:
        """The first thing that went wrong."""
        return self.errors[0] if self.errors else None

    @contextmanager
    def trying(self) -> Iterator[None]:
        """Around what the form asks for. A GateError is kept as one of the form's; `done` says whether there was
        none."""
        self.errors = []
        try:
            yield
            self.done = True
        except GateError as error:
            if error not in self.errors:
                self.errors.append(error)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Around what reads its fields, within `trying`: whatever is wrong with them is kept, and the first of it
        raised at the end, before anything is done. What was read counts for nothing then."""
        self._reading = True
        try:
            yield
        except InvalidRequest as error:
            self.errors.append(error)
        finally:
            self._reading = False
        if self.errors:
            raise self.errors[0]

    def fault(self, error: InvalidRequest) -> None:
        """Something is wrong with a field: raise it, or keep it while the form is read."""
        if not self._reading:
            raise error
        self.errors.append(error)

    def error_of(self, name: str) -> str:
        """What is wrong with this field, in words that stand beside it; "" where nothing is."""
        found = next((error for error in self.errors if error.param is not None and snake(error.param) == name), None)
        if found is None:
            return ""
        own, message = f"`{found.param}`", found.message
        if message.startswith(f"{own}: "):
            return message.removeprefix(f"{own}: ")
        return f"This{message.removeprefix(own)}" if message.startswith(own) else message

    def error_beside(self, names: Collection[str]) -> str:
        """What went wrong that is about none of these fields."""
        beside = (error for error in self.errors if error.param is None or snake(error.param) not in names)
        return next((error.message for error in beside), "")

    def wrong_of(self, names: Collection[str]) -> int:
        """How many of these fields are wrong."""
        return sum(bool(self.error_of(name)) for name in names)

    def focus(self, name: str) -> bool:
        """Whether this field is to be in focus when the page opens: of the wrong ones the first that is asked for, as
        they stand in the page."""
        if self._focused or not self.error_of(name):
            return False
        self._focused = True
        return True

    def fields(
        self,
        *names: str,
        lists: Collection[str] = (),
        flags: Collection[str] = (),
        nulls: Collection[str] = (),
        whole: Collection[str] = (),
    ) -> fields.Fields:
        """Fields as the API reads them, so that a page says nothing in a second way. Of `lists` each line (or what
        stands between commas) is one text, `flags` are boxes; an empty field of `nulls` is null, which lifts a limit,
        any other empty one is not given. Space at a text's ends goes, but not of those in `whole`."""
        found: dict[str, object] = {}
        for name in names:
            text = self.said(name).strip()
            if text or name in nulls:
                found[name] = text or None
        for name in whole:
            if said := self.said(name):
                found[name] = said
        for name in lists:
            lines = [line.strip() for text in self.texts.get(name, ()) for line in text.replace(",", "\n").split("\n")]
            found[name] = [line for line in lines if line]
        for name in flags:
            found[name] = self.ticked(name)
        raw = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in found.items()}
        return fields.Fields(raw, self.errors if self._reading else None)


def _in_memory(*_: object, **__: object) -> IO[bytes]:
    """Where a file is kept that was sent: no disk sees it."""
    return BytesIO()


def snake(name: str) -> str:
    """A field's name in the one spelling that forms use."""
    return "".join(f"_{sign.lower()}" if sign.isupper() else sign for sign in name)
