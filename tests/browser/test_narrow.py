"""What fits into a window: filters are folded where there is little room, and long names push nothing out of sight."""

from playwright.sync_api import expect

from tests.browser.conftest import Open
from tests.browser.dashboard import OPERATOR, USER, Dashboard


def test_filters_are_folded_on_a_phone_alone(open_page: Open) -> None:
    for width, folded in ((1440, False), (390, True)):
        page = open_page(USER, width=width, javascript=False)
        page.goto("/logs?status=ok")
        field, summary = page.get_by_label("Request id"), page.locator(".filtering > summary")
        expect(field).to_be_visible(visible=not folded)
        expect(summary).to_be_visible(visible=folded)
        expect(page.locator(".chips")).to_have_text("Status: ok ×")
    summary.click()
    field.fill("req_1")
    page.get_by_role("button", name="Show").click()
    expect(page.locator(".chips")).to_contain_text("Request id: req_1")


def test_long_names_push_nothing_out_of_sight(open_page: Open, site: Dashboard) -> None:
    key = site.key(USER, name="k" * 100)["key"]
    assert site.call(USER, "m" * 190, key=key).status_code == 400
    of = f"/v1/user/logs?model={'m' * 190}"
    site.house.wait_for(lambda: site.api(USER, "GET", of)["data"], "it is not in the log")
    page = open_page(OPERATOR)
    page.goto("/admin/requests?status=refused")
    expect(page.get_by_title("m" * 190)).to_be_visible()
    assert page.locator(".table").evaluate("(table) => table.scrollWidth <= table.clientWidth")
