// The playground: sends the form as a chat request, shows the answer while it comes, and stops it. What comes is put
// into the page as text, never as HTML.
"use strict";

const bench = document.getElementById("bench"), answers = document.getElementById("answers");
const send = document.getElementById("send"), stop = document.getElementById("stop");
let running = [];

for (const part of document.querySelectorAll(".with-script")) part.hidden = false;
stop.hidden = false;

const value = (name) => bench.elements[name].value;
function asked(model) {
  const messages = value("system") ? [{ role: "system", content: value("system") }] : [];
  messages.push({ role: "user", content: value("message") });
  const body = { model, messages }, cap = value("max_tokens").trim();
  if (cap) body.max_tokens = /^[0-9]+$/.test(cap) ? Number(cap) : cap;
  if (bench.elements.stream.checked) body.stream = true;
  return body;
}

const ms = (n) => n < 1000 ? `${Math.round(n)} ms` : `${(n / 1000).toFixed(1)} s`;

class Answer {
  constructor(model) {
    this.root = document.getElementById("answer").content.firstElementChild.cloneNode(true);
    this.root.querySelector("h2").textContent = model;
    this.root.setAttribute("aria-label", `Answer of ${model}`);
    this.words = this.root.querySelector(".words");
    this.began = performance.now();
    this.abort = new AbortController();
    answers.append(this.root);
  }

  set(name, text) { this.root.querySelector(`[data-is=${name}]`).textContent = text; }

  tell(kind, words) {
    const told = this.root.querySelector(".told");
    told.hidden = false; told.className = `told ${kind}`; told.textContent = words;
  }

  add(delta) {
    const thought = delta.reasoning_content ?? delta.reasoning;
    if (typeof thought === "string" && thought) {
      this.first();
      this.root.querySelector(".thinking").hidden = false;
      this.root.querySelector(".thought").append(thought);
    }
    let words = typeof delta.content === "string" ? delta.content : "";
    for (const call of delta.tool_calls ?? []) words += `${call.function?.name ?? ""}${call.function?.arguments ?? ""}`;
    if (words) { this.first(); this.words.append(words); }
  }

  first() { if (!this.seen) { this.seen = true; this.set("first", ms(performance.now() - this.began)); } }

  event(data) {
    if (data === "[DONE]") { this.done = true; return; }
    let said;
    try { said = JSON.parse(data); } catch { return; }
    if (said.error) this.tell("bad", said.error.message ?? "The answer broke off.");
    for (const choice of said.choices ?? []) this.add(choice.delta ?? choice.message ?? {});
  }

  async read(answer) {
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let rest = "";
    for (let piece = await reader.read(); !piece.done; piece = await reader.read()) {
      const lines = (rest + piece.value).split("\n");
      rest = lines.pop();
      for (const line of lines) if (line.startsWith("data:")) this.event(line.slice(5).trim());
      this.words.scrollTop = this.words.scrollHeight;
    }
  }

  async run(model) {
    const body = JSON.stringify(asked(model));
    const ask = () => fetch("/playground/call", {
      method: "POST", headers: { "Content-Type": "application/json", "X-CSRF-Token": value("csrf_token") }, body,
      signal: this.abort.signal, redirect: "manual",
    });
    try {
      let answer = await ask(), words = "";
      const isPage = () => (answer.headers.get("Content-Type") ?? "").startsWith("text/html");
      if (answer.status === 403 && isPage()) {  // signed in anew elsewhere
        words = await renew();
        if (!words) answer = await ask();
      }
      this.id = answer.headers.get("X-Request-Id");
      if (answer.type === "opaqueredirect") this.tell("bad", "You are signed out. Sign in again; what you wrote stays here.");
      else if (isPage()) this.tell("bad", words || "That was refused. Load the page again.");
      else if ((answer.headers.get("Content-Type") ?? "").startsWith("text/event-stream")) {
        await this.read(answer);
        if (!this.done && this.root.querySelector(".told").hidden) this.tell("bad", "The answer broke off.");
      } else {
        const said = await answer.json();
        this.refused = Boolean(said.error);
        if (said.error) this.tell("bad", said.error.message ?? `Status ${answer.status}`);
        else for (const choice of said.choices ?? []) this.add(choice.message ?? {});
        if (!said.error) this.set("first", "–");
      }
    } catch (error) {
      if (error.name === "AbortError") this.tell("fair", "Stopped. What had come until then is paid for.");
      else this.tell("bad", "The connection broke.");
    }
    this.set("took", ms(performance.now() - this.began));
    await this.known();
  }

  // What the server wrote down of this call: there as soon as it is settled, and not at all for some that are refused.
  async known() {
    if (!this.id) return;
    for (let wait = 100; wait < (this.refused ? 500 : 4000); wait *= 2) {
      let row = null;
      try {
        const answer = await fetch(`/v1/user/logs?request_id=${encodeURIComponent(this.id)}`);
        if (answer.ok) row = (await answer.json()).data[0];
      } catch { /* not reachable at this moment */ }
      if (row) {
        this.set("cost", `$${row.cost}`);
        this.set("in", String(row.prompt_tokens));
        this.set("out", `${row.completion_tokens}${row.estimated ? " (estimated)" : ""}`);
        if (row.first_token_ms !== null) this.set("first", ms(row.first_token_ms));
        this.set("took", ms(row.latency_ms));
        if (row.served_model) this.root.querySelector("h2").textContent = row.served_model;
        const link = this.root.querySelector("p a");
        link.href = `/logs/${encodeURIComponent(this.id)}`; link.parentElement.hidden = false;
        return;
      }
      await new Promise((go) => setTimeout(go, wait));
    }
  }
}

bench.addEventListener("submit", async (event) => {
  event.preventDefault();
  if (running.length) return;
  answers.replaceChildren();
  const models = [value("model"), value("beside")].filter(Boolean);
  running = models.map((model) => new Answer(model));
  send.disabled = true; stop.disabled = false; tell("Sent");
  try {
    await Promise.all(running.map((answer, at) => answer.run(models[at])));
  } finally {
    running = [];
    send.disabled = false; stop.disabled = true; tell("The answer has ended");
  }
});
stop.addEventListener("click", () => { for (const answer of running) answer.abort.abort(); });
bench.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); bench.requestSubmit(); }
});

// The same call elsewhere, as the form is now. The templates are the server's (core/connect.py), and so are the marks.
const word = (text) => /^[A-Za-z0-9_.\/:@%+=,-]+$/.test(text) ? text : `'${text.replaceAll("'", "'\\''")}'`;
function rewrite() {
  const body = asked(value("model"));
  const marks = {
    base: bench.dataset.base, key: bench.dataset.key, model: JSON.stringify(body.model),
    messages: JSON.stringify(body.messages), cap: String(body.max_tokens ?? ""), body: word(JSON.stringify(body)),
    model_word: word(body.model), message_word: word(value("message")),
  };
  for (const way of document.querySelectorAll("[data-plain]")) {
    const template = (body.stream && way.dataset.stream) || way.dataset.plain, mark = /\{(base|key|model|messages|cap|body|model_word|message_word)\}/g;
    const lines = template.split("\n").filter((line) => [...line.matchAll(mark)].every((found) => marks[found[1]]));
    way.querySelector("code").textContent = lines.join("\n").replace(mark, (_, name) => marks[name]);
  }
}
bench.addEventListener("input", rewrite);
rewrite();
