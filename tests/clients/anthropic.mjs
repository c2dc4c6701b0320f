// Anthropic's official TypeScript SDK.
import Anthropic from "@anthropic-ai/sdk";
import { jsonSchemaOutputFormat } from "@anthropic-ai/sdk/helpers/json-schema";
import assert from "node:assert/strict";
import { CHANNEL, GATE, HELLO, KEY, PIXEL, POOR_KEY, asked, check, refused, run } from "./check.mjs";

const own = CHANNEL === "own";
const sdk = (options = {}) =>
  new Anthropic({ baseURL: `${GATE}/anthropic`, apiKey: KEY, maxRetries: 0, timeout: 20_000, ...options });
const client = sdk();
const ask = (model, more = {}) => ({ model, max_tokens: 50, messages: HELLO, ...more });
const said = (message) => message.content.map((block) => block.text ?? "").join("");
const TOOLS = [
  { name: "look", description: "Looks", input_schema: { type: "object", properties: { at: { type: "string" } } } },
  { name: "hear", input_schema: { type: "object", properties: { seconds: { type: "integer" } } } },
];

check("create", async () => {
  const answer = await client.messages.create(ask("words", { system: "Be brief.", stop_sequences: ["END"] }));
  assert.deepEqual([answer.type, answer.role, answer.stop_reason], ["message", "assistant", "end_turn"]);
  assert.equal(said(answer), "one two three");
  assert.equal(answer.usage.output_tokens, 3);
  assert.match(answer._request_id, /^req_/);
  const { json } = await asked("words");
  assert.deepEqual(json.stop ?? json.stop_sequences, ["END"]);
  if (own) assert.equal(json.system, "Be brief.");
  else assert.deepEqual(json.messages[0], { role: "system", content: "Be brief." });
});

check("a token in place of a key", async () => {
  const answer = await sdk({ apiKey: null, authToken: KEY }).messages.create(ask("words"));
  assert.equal(said(answer), "one two three");
});

check("events of a stream", async () => {
  const kinds = [];
  for await (const event of await client.messages.create(ask("words", { stream: true }))) kinds.push(event.type);
  assert.equal(kinds[0], "message_start");
  assert.equal(kinds.at(-1), "message_stop");
  assert.equal(kinds.filter((kind) => kind === "content_block_delta").length, 3);
});

check("the stream helper and its final message", async () => {
  const pieces = [];
  const stream = client.messages.stream(ask("words")).on("text", (text) => pieces.push(text));
  const final = await stream.finalMessage();
  assert.deepEqual(pieces, ["one ", "two ", "three"]);
  assert.equal(await stream.finalText(), "one two three");
  assert.deepEqual([final.stop_reason, final.usage.output_tokens], ["end_turn", 3]);
});

check("two tools in parallel, and their results", async () => {
  const stream = client.messages.stream(ask("calls", { tools: TOOLS }));
  const first = await stream.finalMessage();
  const calls = first.content.filter((block) => block.type === "tool_use");
  assert.equal(first.stop_reason, "tool_use");
  assert.deepEqual(
    calls.map((call) => [call.name, call.input]),
    [["look", { at: "door" }], ["hear", { seconds: 2 }]],
  );
  const results = [
    { type: "tool_result", tool_use_id: calls[0].id, content: [{ type: "text", text: "a cat" }] },
    { type: "tool_result", tool_use_id: calls[1].id, content: "too loud", is_error: true },
  ];
  const turns = [...HELLO, { role: "assistant", content: first.content }, { role: "user", content: results }];
  const answer = await client.messages.create(ask("words", { messages: turns, tools: TOOLS }));
  assert.equal(said(answer), "one two three");
  const { json } = await asked("words");
  if (own) return assert.deepEqual(json.messages[2].content, results);
  assert.deepEqual(json.messages.map((turn) => turn.role), ["user", "assistant", "tool", "tool"]);
  assert.deepEqual(json.messages[1].tool_calls.map((call) => call.id), json.messages.slice(2).map((t) => t.tool_call_id));
  assert.match(JSON.stringify(json.messages[2].content), /a cat/);
  assert.match(JSON.stringify(json.messages[3].content), /too loud/);
});

check("the tool runner goes on until there is an answer", async () => {
  const ran = [];
  const tools = TOOLS.map((tool) => ({
    ...tool,
    parse: (input) => input,
    run: (input) => (ran.push([tool.name, input]), `${tool.name}ed`),
  }));
  const final = await client.beta.messages.toolRunner(ask("loops", { tools })).runUntilDone();
  assert.equal(said(final), "done");
  assert.deepEqual(ran, [["look", { at: "door" }]]);
});

check("thinking over turns", async () => {
  const thinking = { type: "enabled", budget_tokens: 1024 };
  const first = await client.messages.stream(ask("thinks", { max_tokens: 2000, thinking })).finalMessage();
  assert.deepEqual(first.content.map((block) => block.type), ["thinking", "text"]);
  assert.equal(first.content[0].thinking, "Let me think");
  assert.ok(first.content[0].signature);
  const turns = [...HELLO, { role: "assistant", content: first.content }, { role: "user", content: "And now?" }];
  await client.messages.create(ask("words", { max_tokens: 2000, thinking, messages: turns }));
  const { json } = await asked("words");
  if (own) assert.deepEqual(json.messages[1].content[0], first.content[0]);
  else assert.equal(json.messages[1].reasoning_content, "Let me think");
});

check("images", async () => {
  const content = [
    { type: "image", source: { type: "base64", media_type: "image/png", data: PIXEL } },
    { type: "image", source: { type: "url", url: "https://example.com/a.png" } },
    { type: "text", text: "What is it?" },
  ];
  await client.messages.create(ask("words", { messages: [{ role: "user", content }] }));
  const parts = (await asked("words")).json.messages[0].content;
  if (own) return assert.deepEqual(parts, content);
  const urls = [`data:image/png;base64,${PIXEL}`, "https://example.com/a.png"];
  assert.deepEqual(parts.slice(0, 2).map((part) => part.image_url.url), urls);
});

check("structured output", async () => {
  const properties = { city: { type: "string" }, age: { type: "integer" } };
  const schema = { type: "object", properties, required: ["city", "age"], additionalProperties: false };
  const answer = await client.messages.parse(ask("json", { output_config: { format: jsonSchemaOutputFormat(schema) } }));
  assert.deepEqual(answer.parsed_output, { city: "Rome", age: 2779 });
  const { json } = await asked("json");
  const went = own ? json.output_config.format.schema : json.response_format.json_schema.schema;
  assert.deepEqual(Object.keys(went.properties), ["city", "age"]);
});

check("tokens are counted", async () => {
  const counted = await client.messages.countTokens({ model: "words", messages: HELLO, system: "Be brief.", tools: TOOLS });
  assert.ok(counted.input_tokens > 5 && counted.input_tokens < 300, `${counted.input_tokens}`);
});

check("models, page by page", async () => {
  const names = [];
  for await (const model of client.models.list({ limit: 3 })) names.push(model.id);
  assert.ok(names.includes("words") && names.includes("anthropic/words"));
  assert.equal(new Set(names).size, names.length);
  assert.equal((await client.models.retrieve("words")).id, "words");
  await refused(Anthropic.NotFoundError, () => client.models.retrieve("nonesuch"));
});

check("cached tokens, in Anthropic's way of counting", async () => {
  const whole = await client.messages.create(ask("cached"));
  const streamed = await client.messages.stream(ask("cached")).finalMessage();
  for (const { usage } of [whole, streamed])
    assert.deepEqual([usage.input_tokens, usage.cache_read_input_tokens, usage.output_tokens], [20, 80, 3]);
});

for (const stream of [false, true]) {
  const way = stream ? ", asked for a stream" : "";
  check(`error classes${way}`, async () => {
    const call = (model, by = client) => () => by.messages.create(ask(model, { stream }));
    const unknown = await refused(Anthropic.NotFoundError, call("nonesuch"));
    assert.equal(unknown.error.error.type, "not_found_error");
    assert.equal(unknown.requestID, unknown.error.request_id);
    await refused(Anthropic.AuthenticationError, call("words", sdk({ apiKey: "sk-ft_wrong" })));
    const poor = await refused(Anthropic.APIError, call("words", sdk({ apiKey: POOR_KEY })));
    assert.deepEqual([poor.status, poor.error.error.type], [402, "billing_error"]);
    await refused(Anthropic.BadRequestError, () => client.messages.create(ask("words", { messages: [], stream })));
    await refused(Anthropic.InternalServerError, call("500"));
    const busy = await refused(Anthropic.InternalServerError, call("429"));
    assert.deepEqual([busy.status, busy.error.error.type], [529, "overloaded_error"]);
    const model = `limited-${stream}`;
    await client.messages.create(ask(model));
    const limited = await refused(Anthropic.RateLimitError, call(model));
    assert.ok(Number(limited.headers.get("retry-after")) > 30);
  });
}

check("a stream that breaks is an error", async () => {
  await refused(Anthropic.APIError, () => client.messages.stream(ask("cut")).finalMessage());
});

check("what ftgate tries again the SDK does not see", async () => {
  assert.equal(said(await client.messages.create(ask("flaky"))), "Hello, world");
});

await run("Anthropic's TypeScript SDK");
