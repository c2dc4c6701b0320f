// What pages can do beside working without it: copy, ask "are you sure" in a dialog, write times in the viewer's zone,
// and look again by themselves while somebody looks at them.
"use strict";

const live = document.getElementById("live");
const tell = (words) => { if (live) { live.textContent = ""; setTimeout(() => { live.textContent = words; }, 50); } };

// Times are written in the viewer's zone. There is one formatter: to make the first takes longer than all else here.
const shortly = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

// The viewer's zone: by it the server counts days, and reads times that are typed.
const zone = shortly.resolvedOptions().timeZone;
if (zone) document.cookie = `tz=${zone}; path=/; max-age=31536000; samesite=lax`;
if (zone && !new URLSearchParams(location.search).has("tz")) for (const field of document.querySelectorAll("input[name=tz]")) field.value = zone;

// Times: in the viewer's zone, UTC by pointing at them.
function localize(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (!Number.isNaN(at.getTime())) time.textContent = shortly.format(at);
  }
}

// Copy: the text beside the button.
function copying(root) {
  for (const button of root.querySelectorAll("[data-copy]")) {
    button.hidden = false;
    button.onclick = async () => {
      const text = button.parentElement.querySelector("code").textContent;
      try {
        await navigator.clipboard.writeText(text);
      } catch {  // no clipboard without https
        const area = Object.assign(document.createElement("textarea"), { value: text, readOnly: true });
        document.body.append(area); area.select(); document.execCommand("copy"); area.remove();
      }
      button.textContent = "Copied"; tell("Copied");
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    };
  }
}

// "Are you sure": what stands behind a summary becomes a dialog, which closes by Esc and by a click beside it.
function asking(root) {
  for (const details of root.querySelectorAll("details[data-dialog]")) {
    const summary = details.querySelector("summary"), form = details.querySelector(".ask");
    const opener = Object.assign(document.createElement("button"), { type: "button", className: summary.className.replace("button", "").trim(), textContent: summary.textContent });
    const dialog = document.createElement("dialog");
    dialog.setAttribute("aria-labelledby", form.getAttribute("aria-labelledby"));
    dialog.append(form);
    for (const close of form.querySelectorAll("[data-close]")) { close.hidden = false; close.onclick = () => dialog.close(); }
    dialog.onclick = (event) => { if (event.target === dialog) dialog.close(); };
    opener.onclick = () => dialog.showModal();
    const open = details.open;
    details.replaceWith(opener, dialog);
    if (open) dialog.showModal();
  }
}

// Look again: what has data-again="seconds" is read anew while the page is seen, and nobody is at work in it.
function again() {
  for (const part of document.querySelectorAll("[data-again][id]")) {
    let last = new Date(), missed = 0;
    const miss = () => {
      missed += 1;
      if (missed === 2) part.before(Object.assign(document.createElement("p"), { className: "told fair stale", role: "status", textContent: `Not read anew since ${shortly.format(last)}: what stands here may be over. It is tried again.` }));
    };
    const timer = setInterval(async () => {
      if (document.hidden || part.contains(document.activeElement) || document.querySelector("dialog[open]")) return;
      try {
        const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
        if (!answer.ok || answer.redirected) { miss(); return; }
        last = new Date(); missed = 0;
        if (part.previousElementSibling?.matches(".stale")) part.previousElementSibling.remove();
        const found = new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(part.id);
        if (found && !found.dataset.again) clearInterval(timer);  // what was looked for is there
        if (found) { part.replaceChildren(...found.childNodes); prepare(part); }
      } catch { miss(); }
    }, Math.max(Number(part.dataset.again), 2) * 1000);
  }
}

// Print: the page as it is.
function printing(root) {
  for (const button of root.querySelectorAll("[data-print]")) { button.hidden = false; button.onclick = () => print(); }
}

// A page may be older than its session: its person signed out, or in anew, in another tab. Its forms take over the token
// of the session that there is, if it is the same person's, and so what was typed is not lost. What is wrong, in words.
async function renew() {
  try {
    const answer = await fetch("/v1/auth/session", { headers: { Accept: "application/json" } });
    if (answer.status === 401) return "You are signed out. Sign in again in another tab, and come back: what you wrote stays here.";
    if (!answer.ok) return "";
    const said = await answer.json(), who = document.querySelector(".who")?.textContent;
    if (said.user.username !== who) return `Meanwhile ${said.user.username} has signed in, and this page is of ${who}: load it again.`;
    for (const proof of document.querySelectorAll("input[name=csrf_token]")) proof.value = said.csrfToken;
  } catch { /* the server will say what is wrong */ }
  return "";
}
if (document.querySelector(".who")) window.addEventListener("focus", async () => {
  const words = await renew();
  document.querySelector(".told.ended")?.remove();
  if (words) document.querySelector("header.top").after(Object.assign(document.createElement("p"), { className: "told bad ended", role: "alert", textContent: words }));
});

// What is true only where scripts run is said only there.
function scripted(root) { for (const words of root.querySelectorAll("[data-scripted]")) words.hidden = false; }

function prepare(root) { scripted(root); localize(root); copying(root); asking(root); printing(root); }
prepare(document);
again();

document.addEventListener("keydown", (event) => {
  const typing = event.target.closest("input, textarea, select, [contenteditable]");
  if (event.key === "/" && !typing && !event.ctrlKey && !event.metaKey) {
    const search = document.querySelector("[data-search]");
    if (search) { event.preventDefault(); search.closest("details")?.setAttribute("open", ""); search.focus(); }
  }
  if (event.key === "Escape") document.querySelector("nav.below details[open]")?.removeAttribute("open");
});
