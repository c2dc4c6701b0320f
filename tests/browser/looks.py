"""What holds for every page: it has a title, one h1 and landmarks, axe finds nothing serious in it, it is light, and
the keyboard reaches all of it.

    assert faults_of(page) == []              # the page as it stands: states and open dialogs too
    assert keyboard_faults(page) == []        # presses Tab through all of it
    assert dialog_faults(page) == []          # each dialog opens, is as good as a page, and closes with Esc

Each gives sentences. A page needs JavaScript to be looked at so.
"""

from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from playwright.sync_api import Page

MOST_BYTES = 100_000
"""What a page may weigh, as it comes over the wire and with nothing cached: HTML, styles and scripts."""
MOST_DIALOGS = 3
"""Dialogs of one page that are opened: a list has one for each of its rows."""
MOST_STOPS = 400
"""Tab is pressed no more often than that on one page."""

STRUCTURE = """() => {
  const faults = [];
  const count = (what) => document.querySelectorAll(what).length;
  if (!document.title.trim()) faults.push("it has no title");
  if (!document.documentElement.lang) faults.push("html has no lang");
  if (count("h1") !== 1) faults.push(`it has ${count("h1")} h1`);
  if (count("main") !== 1) faults.push(`it has ${count("main")} main`);
  if (!count("meta[name=viewport]")) faults.push("it has no viewport");
  const wide = document.documentElement.scrollWidth - document.documentElement.clientWidth;
  if (wide > 0) faults.push(`it is ${wide} px wider than the window`);
  const ids = [...document.querySelectorAll("[id]")].map((one) => one.id);
  const twice = ids.filter((id, at) => ids.indexOf(id) !== at);
  if (twice.length) faults.push(`ids stand twice: ${twice}`);
  if (count("[style], style, script:not([src])")) faults.push("it has inline script or style");
  for (const one of document.querySelectorAll("img, svg [href], link, script"))
    if (/^(https?:)?\\/\\//.test(one.getAttribute("href") || one.getAttribute("src") || "") &&
        new URL(one.href || one.src, location.href).origin !== location.origin)
      faults.push(`it takes ${one.outerHTML} from elsewhere`);
  for (const heading of document.querySelectorAll("h1, h2, h3, h4"))
    if (!heading.textContent.trim()) faults.push("a heading is empty");
  return faults;
}"""
WEIGHT = """() => {
  const parts = [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")];
  const kinds = ["navigation", "link", "script", "css"];
  return parts.filter((part) => kinds.includes(part.initiatorType)).map((part) => [part.name, part.encodedBodySize]);
}"""
AXE = """async ([where, only]) => {
  const said = await axe.run(where || document, {
    resultTypes: ["violations"], preload: false, elementRef: false, ancestry: false, xpath: false,
    ...(only.length ? {runOnly: {type: "rule", values: only}} : {}),
  });
  return said.violations.filter((found) => ["serious", "critical"].includes(found.impact)).flatMap((found) =>
    found.nodes.map((node) => `axe: ${found.id} (${found.impact}): ${found.help}: ${node.target} ` +
      `${node.html.slice(0, 200)} ${(node.failureSummary || "").slice(0, 300)}`));
}"""


def faults_of(page: Page, *, weigh: bool = True) -> list[str]:
    """What is wrong with the page as it stands."""
    found = [*page.evaluate(STRUCTURE), *axe_faults(page)]
    weights: list[tuple[str, int]] = page.evaluate(WEIGHT) if weigh else []
    total = sum(size for _, size in weights)
    return [*found, *([f"it weighs {total} bytes: {weights}"] if total > MOST_BYTES else [])]


def axe_faults(page: Page, *only: str, where: str = "") -> list[str]:
    """What axe finds serious or critical; by these of its rules, where some are named, and in one element only, where a
    selector says which."""
    if not page.evaluate("() => 'axe' in window"):
        page.evaluate(_axe())
    return list(page.evaluate(AXE, [where, list(only)]))


@cache
def _axe() -> str:
    """axe-core, which the package brings for its own runner."""
    found = find_spec("axe_playwright_python")
    assert found is not None and found.submodule_search_locations is not None
    (place,) = found.submodule_search_locations
    return (Path(place) / "axe.min.js").read_text()


# ---- the keyboard ----

STOPS = """(where) => {
  const within = document.querySelector(where);
  const what = "a[href], button, input:not([type=hidden]), select, textarea, summary, [tabindex], audio[controls]";
  const shown = (one) => one.checkVisibility({visibilityProperty: true}) && !one.closest("[inert]");
  const stops = [...within.querySelectorAll(what)].filter((one) => {
    if (one.disabled || one.closest("fieldset:disabled") || one.tabIndex < 0 || !shown(one)) return false;
    if (one.matches("summary") && one.parentElement.querySelector("summary") !== one) return false;
    if (!one.matches("input[type=radio]") || one.checked) return true;
    const group = [...document.getElementsByName(one.name)].filter((other) => other.form === one.form);
    return !group.some((other) => other.checked) && group[0] === one;
  });
  const look = (one) => {
    const style = getComputedStyle(one);
    const lines = ["outlineStyle", "outlineWidth", "outlineColor", "boxShadow", "backgroundColor", "borderColor"];
    return lines.map((name) => style[name]).join(" ");
  };
  window.stops = stops;
  window.within = within;
  window.looks = stops.map(look);
  window.lookOf = look;
  document.activeElement?.blur();
  if (where !== "body") within.focus();
  return stops.map((one) => `${one.localName} ${one.name || one.textContent.trim().slice(0, 40) || one.className}`);
}"""
STOP = """() => {
  const one = document.activeElement;
  if (!one || one === document.body || one === document.documentElement || !window.within.contains(one)) return null;
  const at = window.stops.indexOf(one);
  const style = getComputedStyle(one);
  const outlined = style.outlineStyle !== "none" && parseFloat(style.outlineWidth) > 0;
  const seen = at < 0 || ((outlined || style.boxShadow !== "none") && window.lookOf(one) !== window.looks[at]);
  const box = one.getBoundingClientRect();
  const inside = box.bottom > 0 && box.right > 0 && box.top < innerHeight && box.left < innerWidth;
  return {at, seen, inside, name: one.outerHTML.slice(0, 120)};
}"""


def keyboard_faults(page: Page, where: str = "body") -> list[str]:
    """What Tab does not reach, or not in the order of the page, and where one does not see that it is there; in the
    whole page, or in an element of it that takes the focus."""
    names: list[str] = page.evaluate(STOPS, where)
    reached: list[int] = []
    found: list[str] = []
    shown: dict[int, bool] = {}  # a date is one field with several stops, some of which show it within
    for stop in _stops(page, min(len(names) + 20, MOST_STOPS)):
        if stop["at"] >= 0:
            reached.append(stop["at"])
            shown[stop["at"]] = shown.get(stop["at"], False) or stop["seen"]
        if not stop["inside"]:
            found.append(f"focus is outside the window at {stop['name']}")
    found += [f"focus does not show at {names[at]}" for at, seen in shown.items() if not seen]
    missed = [names[at] for at in range(len(names)) if at not in reached]
    if missed and len(names) <= MOST_STOPS:
        found.append(f"Tab does not reach: {missed}")
    if reached != sorted(reached):
        found.append(f"Tab goes astray: {[names[at] for at in reached]}")
    return found


def _stops(page: Page, most: int) -> Iterator[dict[str, Any]]:
    """Where Tab leads, one after another, until it leaves the page or comes round."""
    first = None
    for _ in range(most):
        page.keyboard.press("Tab")
        stop: dict[str, Any] | None = page.evaluate(STOP)
        if stop is None or (first is not None and stop["at"] == first):
            return
        first = stop["at"] if first is None else first
        yield stop


# ---- dialogs ----


def dialog_faults(page: Page) -> list[str]:
    """What is wrong with the dialogs of the page, each opened as its button would open it."""
    found: list[str] = []
    for at in range(min(page.locator("dialog").count(), MOST_DIALOGS)):
        dialog = page.locator("dialog").nth(at)
        name = dialog.evaluate("(one) => one.id || one.outerHTML.slice(0, 80)")
        dialog.evaluate("(one) => { if (!one.open) one.showModal(); }")
        found += [f"dialog {name}: {fault}" for fault in axe_faults(page, where="dialog[open]")]
        if not dialog.evaluate("(one) => one.contains(document.activeElement)"):
            found.append(f"dialog {name}: the focus is not in it")
        page.keyboard.press("Escape")
        if dialog.evaluate("(one) => one.open"):
            found.append(f"dialog {name}: Esc does not close it")
            dialog.evaluate("(one) => one.close()")
    return found
