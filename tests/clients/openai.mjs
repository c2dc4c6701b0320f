// OpenAI's official JavaScript SDK: chat completions and responses.
import OpenAI from "openai";
import assert from "node:assert/strict";
import { CHANNEL, GATE, HELLO, KEY, PIXEL, POOR_KEY, asked, check, refused, run } from "./check.mjs";

const own = CHANNEL === "own";
const responds = CHANNEL === "responds";
const sdk = (options = {}) =>
  new OpenAI({ baseURL: `${GATE}/v1`, apiKey: KEY, maxRetries: 0, timeout: 20_000, ...options });
const client = sdk();
const chats = client.chat.completions;
const ask = (model, more = {}) => ({ model, messages: HELLO, ...more });
const respond = (model, more = {}) => ({ model, input: "Hello", store: false, ...more });
const FUNCTIONS = ["look", "hear"].map((name) => ({
  name,
  parameters: { type: "object", properties: { at: { type: "string" }, seconds: { type: "integer" } } },
}));
const TOOLS = FUNCTIONS.map((one) => ({ type: "function", function: one }));
const FLAT_TOOLS = FUNCTIONS.map((one) => ({ type: "function", strict: false, ...one }));
const SCHEMA = {
  type: "object",
  properties: { city: { type: "string" }, age: { type: "integer" } },
  required: ["city", "age"],
  additionalProperties: false,
};
const CALLED = [["toolu_1", "look", '{"at": "door"}'], ["toolu_2", "hear", '{"seconds": 2}']];
const parsed = (calls) => calls.map(([id, name, given]) => [id, name, JSON.parse(given)]);

// The results of both tools have gone up, each under its call's id.
async function resultsWent() {
  const { json, path } = await asked("words");
  if (path === "/v1/responses") {
    assert.ok(responds);
    const results = json.input.filter((item) => item.type === "function_call_output");
    return assert.deepEqual(results.map((item) => [item.call_id, item.output]), [
      ["toolu_1", "looked"], ["toolu_2", "heared"],
    ]);
  }
  assert.equal(path, own ? "/v1/messages" : "/v1/chat/completions");
  if (own) {
    const results = json.messages[2].content;
    return assert.deepEqual(results.map((one) => [one.type, one.tool_use_id]), [
      ["tool_result", "toolu_1"], ["tool_result", "toolu_2"],
    ]);
  }
  assert.deepEqual(json.messages.map((turn) => turn.role), ["user", "assistant", "tool", "tool"]);
  assert.deepEqual(json.messages.slice(2).map((turn) => [turn.tool_call_id, turn.content]), [
    ["toolu_1", "looked"], ["toolu_2", "heared"],
  ]);
}

async function imagesWent() {
  const { json } = await asked("words");
  if (json.input)
    return assert.deepEqual(json.input[0].content.slice(0, 2).map((part) => part.image_url), [
      `data:image/png;base64,${PIXEL}`, "https://example.com/a.png",
    ]);
  const parts = json.messages[0].content.filter((part) => part.type !== "text");
  if (!own)
    return assert.deepEqual(parts.map((part) => part.image_url.url), [
      `data:image/png;base64,${PIXEL}`, "https://example.com/a.png",
    ]);
  assert.deepEqual(parts.map((part) => part.source), [
    { type: "base64", media_type: "image/png", data: PIXEL }, { type: "url", url: "https://example.com/a.png" },
  ]);
}

check("chat: create", async () => {
  const answer = await chats.create(ask("words", { stop: ["END"], max_tokens: 50 }));
  assert.equal(answer.choices[0].message.content, "one two three");
  assert.deepEqual([answer.choices[0].finish_reason, answer.usage.completion_tokens], ["stop", 3]);
  assert.match(answer._request_id, /^req_/);
});

check("chat: chunks of a stream", async () => {
  const pieces = [];
  let usage;
  for await (const chunk of await chats.create(ask("words", { stream: true, stream_options: { include_usage: true } }))) {
    if (chunk.choices[0]?.delta.content) pieces.push(chunk.choices[0].delta.content);
    usage = chunk.usage ?? usage;
  }
  assert.deepEqual(pieces, ["one ", "two ", "three"]);
  assert.equal(usage.completion_tokens, 3);
});

check("chat: the stream helper and its final answer", async () => {
  const stream = chats.stream(ask("words", { stream_options: { include_usage: true } }));
  assert.equal(await stream.finalContent(), "one two three");
  assert.equal((await stream.finalChatCompletion()).choices[0].finish_reason, "stop");
  assert.equal((await stream.totalUsage()).completion_tokens, 3);
});

check("chat: two tools in parallel, and their results", async () => {
  const streamed = await chats.stream(ask("calls", { tools: TOOLS })).finalChatCompletion();
  const whole = await chats.create(ask("calls", { tools: TOOLS }));
  for (const { choices } of [streamed, whole]) {
    const calls = choices[0].message.tool_calls.map((call) => [call.id, call.function.name, call.function.arguments]);
    assert.deepEqual(parsed(calls), parsed(CALLED));
    assert.equal(choices[0].finish_reason, "tool_calls");
  }
  const { message } = streamed.choices[0];
  const results = message.tool_calls.map((call) => ({
    role: "tool", tool_call_id: call.id, content: `${call.function.name}ed`,
  }));
  const answer = await chats.create(ask("words", { messages: [...HELLO, message, ...results], tools: TOOLS }));
  assert.equal(answer.choices[0].message.content, "one two three");
  await resultsWent();
});

check("chat: the tool runner goes on until there is an answer", async () => {
  const ran = [];
  const tools = FUNCTIONS.map((one) => ({
    type: "function",
    function: { ...one, parse: JSON.parse, function: (given) => (ran.push([one.name, given]), `${one.name}ed`) },
  }));
  assert.equal(await chats.runTools(ask("loops", { tools })).finalContent(), "done");
  assert.deepEqual(ran, [["look", { at: "door" }]]);
});

check("chat: images", async () => {
  const image = (url) => ({ type: "image_url", image_url: { url } });
  const content = [
    image(`data:image/png;base64,${PIXEL}`), image("https://example.com/a.png"), { type: "text", text: "What is it?" },
  ];
  await chats.create(ask("words", { messages: [{ role: "user", content }] }));
  await imagesWent();
});

check("chat: structured output", async () => {
  const format = { type: "json_schema", json_schema: { name: "city", strict: true, schema: SCHEMA } };
  const answer = await chats.parse(ask("json", { response_format: format }));
  assert.deepEqual(JSON.parse(answer.choices[0].message.content), { city: "Rome", age: 2779 });
  const { json } = await asked("json");
  const went = own ? json.output_config.format.schema : json.response_format.json_schema.schema;
  assert.deepEqual(went, SCHEMA);
});

check("chat: cached tokens", async () => {
  const { usage } = await chats.create(ask("cached"));
  assert.deepEqual([usage.prompt_tokens, usage.prompt_tokens_details.cached_tokens, usage.completion_tokens], [100, 80, 3]);
});

check("responses: create", async () => {
  const answer = await client.responses.create(respond("words", { instructions: "Be brief.", max_output_tokens: 50 }));
  assert.deepEqual([answer.output_text, answer.status, answer.usage.output_tokens], ["one two three", "completed", 3]);
});

check("responses: events of a stream", async () => {
  const kinds = [];
  const pieces = [];
  for await (const event of await client.responses.create(respond("words", { stream: true }))) {
    kinds.push(event.type);
    if (event.type === "response.output_text.delta") pieces.push(event.delta);
  }
  assert.deepEqual([kinds[0], kinds.at(-1)], ["response.created", "response.completed"]);
  assert.deepEqual(pieces, ["one ", "two ", "three"]);
});

check("responses: the stream helper and its final answer", async () => {
  const final = await client.responses.stream(respond("words")).finalResponse();
  assert.deepEqual([final.output_text, final.status, final.usage.output_tokens], ["one two three", "completed", 3]);
});

check("responses: two tools in parallel, and their results", async () => {
  const streamed = await client.responses.stream(respond("calls", { tools: FLAT_TOOLS })).finalResponse();
  const whole = await client.responses.create(respond("calls", { tools: FLAT_TOOLS }));
  const callsOf = (answer) => answer.output.filter((item) => item.type === "function_call");
  for (const answer of [streamed, whole])
    assert.deepEqual(parsed(callsOf(answer).map((call) => [call.call_id, call.name, call.arguments])), parsed(CALLED));
  const results = callsOf(streamed).map((call) => ({
    type: "function_call_output", call_id: call.call_id, output: `${call.name}ed`,
  }));
  const input = [...HELLO, ...streamed.output, ...results];
  const answer = await client.responses.create(respond("words", { input, tools: FLAT_TOOLS }));
  assert.equal(answer.output_text, "one two three");
  await resultsWent();
});

check("responses: thinking over turns", async () => {
  const more = { include: ["reasoning.encrypted_content"], reasoning: { effort: "low", summary: "auto" } };
  const first = await client.responses.stream(respond("thinks", more)).finalResponse();
  assert.deepEqual(first.output.map((item) => item.type), ["reasoning", "message"]);
  assert.ok(first.output[0].encrypted_content);
  await client.responses.create(respond("words", { ...more, input: [...HELLO, ...first.output, ...HELLO] }));
  const { json } = await asked("words");
  if (responds) {
    const seal = json.input.find((item) => item.type === "reasoning").encrypted_content;
    return assert.equal(seal, first.output[0].encrypted_content);
  }
  const again = json.messages[1];
  if (own) assert.equal(again.content[0].thinking, "Let me think");
  else assert.equal(again.reasoning_content, "Let me think");
});

check("responses: images", async () => {
  const image = (url) => ({ type: "input_image", detail: "auto", image_url: url });
  const content = [
    image(`data:image/png;base64,${PIXEL}`), image("https://example.com/a.png"), { type: "input_text", text: "What?" },
  ];
  await client.responses.create(respond("words", { input: [{ role: "user", content }] }));
  await imagesWent();
});

check("responses: structured output", async () => {
  const format = { type: "json_schema", name: "city", strict: true, schema: SCHEMA };
  const answer = await client.responses.parse(respond("json", { text: { format } }));
  assert.deepEqual(JSON.parse(answer.output_text), { city: "Rome", age: 2779 });
  const { json } = await asked("json");
  if (responds) return assert.deepEqual(json.text.format.schema, SCHEMA);
  const went = own ? json.output_config.format.schema : json.response_format.json_schema.schema;
  assert.deepEqual(went, SCHEMA);
});

check("responses: cached tokens", async () => {
  const whole = await client.responses.create(respond("cached"));
  const streamed = await client.responses.stream(respond("cached")).finalResponse();
  for (const { usage } of [whole, streamed])
    assert.deepEqual([usage.input_tokens, usage.input_tokens_details.cached_tokens, usage.output_tokens], [100, 80, 3]);
});

check("models", async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.ok(names.includes("words"));
  assert.equal((await client.models.retrieve("words")).id, "words");
  await refused(OpenAI.NotFoundError, () => client.models.retrieve("nonesuch"));
});

const WAYS = {
  chat: (by, model, stream) => by.chat.completions.create(ask(model, { stream })),
  responses: (by, model, stream) => by.responses.create(respond(model, { stream })),
};
for (const [route, call] of Object.entries(WAYS)) {
  for (const stream of [false, true]) {
    check(`${route}: error classes${stream ? ", asked for a stream" : ""}`, async () => {
      const unknown = await refused(OpenAI.BadRequestError, () => call(client, "nonesuch", stream));
      assert.deepEqual([unknown.code, unknown.param], ["model_not_found", "model"]);
      await refused(OpenAI.AuthenticationError, () => call(sdk({ apiKey: "sk-ft_wrong" }), "words", stream));
      const poor = await refused(OpenAI.APIError, () => call(sdk({ apiKey: POOR_KEY }), "words", stream));
      assert.equal(poor.status, 402);
      await refused(OpenAI.InternalServerError, () => call(client, "500", stream));
      const model = `limited-${route}-${stream}`;
      await call(client, model, false);
      const limited = await refused(OpenAI.RateLimitError, () => call(client, model, stream));
      assert.equal(limited.code, "rate_limit_exceeded");
    });
  }
}

check("chat: a stream that breaks is an error", async () => {
  const broken = await refused(OpenAI.APIError, async () => {
    for await (const _ of await chats.create(ask("cut", { stream: true })));
  });
  assert.equal(broken.code, "provider_error");
});

check("responses: a stream that breaks has failed", async () => {
  let last;
  for await (const event of await client.responses.create(respond("cut", { stream: true }))) last = event;
  assert.deepEqual([last.type, last.response.status], ["response.failed", "failed"]);
  assert.ok(last.response.error.code);
});

await run("OpenAI's JavaScript SDK");
