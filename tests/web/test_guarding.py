"""What stands between a stranger and the site: odd bytes in place of credentials, keys where none count, the cookie."""

import pytest

from ftgate.ports.settings import SiteSettings
from tests.fakes.ports import Still
from tests.web.fakes import SECRET, Asking

KEY = SECRET.decode()


@pytest.mark.parametrize("shown", ["\xe9", "sk-ft_\xff\x80", "eyJ\xe9.x.y", "eyJ..", "x" * 9000])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/user/self", "/metrics"])
async def test_odd_bytes_are_a_refusal(path: str, shown: str) -> None:
    answer = await Asking().ask(path, secret=None, authorization=f"Bearer {shown}")
    assert answer.status == 401, answer.body


async def test_odd_bytes_prove_nothing() -> None:
    asking = Asking()
    for proof in ("\xe9", "proof\xff", "pr\u00f6of"):
        answer = await asking.form("/logout", headers=asking.signed_in(), csrf_token=proof)
        assert (answer.status, asking.entrance.asked) == (403, [])


@pytest.mark.parametrize("name", ["api_key", "key", "access_token", "token", "x-api-key", "authorization"])
async def test_a_key_in_the_address_is_none(name: str) -> None:
    """Addresses stand in logs of proxies and in histories of browsers."""
    asking = Asking()
    assert (await asking.ask(f"/v1/models?{name}={KEY}", secret=None)).status == 401
    answer = await asking.ask(
        f"/v1/chat/completions?{name}={KEY}", method="POST", secret=None, body=b'{"model":"m","messages":[]}'
    )
    assert answer.status == 401
    assert (await asking.ask("/v1/models", secret=None, authorization=f"Bearer {KEY}")).status == 200


def over_https() -> Asking:
    asking = Asking()
    live = Still()
    live.site = SiteSettings(public_url="https://gate.example")
    asking.site.guard.live = live
    return asking


async def test_the_cookie_over_https() -> None:
    """Bound to this host and to https, whoever else has a name beside it; one of another kind opens nothing."""
    asking = over_https()
    answer = await asking.form("/login", username="ann", password="rightly")
    cookie, *said = (part.strip() for part in answer.headers["set-cookie"].split(";"))
    assert cookie == "__Host-ftgate_session=c1"
    assert {"Secure", "HttpOnly", "SameSite=Lax", "Path=/"} <= set(said)
    assert not any(part.lower().startswith("domain") for part in said)
    plain, bound = "ftgate_session=c1", "__Host-ftgate_session=c1"
    for shown, opened in ((plain, False), (bound, True)):
        page = await asking.ask("/nowhere", secret=None, accept="text/html", cookie=shown)
        assert (b'name="csrf_token" value="proof"' in page.body) is opened
