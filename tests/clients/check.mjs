// The checks of one SDK: `check` names and keeps one, `run` lets each pass or fail by itself and ends the process with 1
// when one failed. The last line says how many passed.
//
// ftgate's address, a key, the scripted upstream's address and the kind of channel ("chats", "own" for one that speaks
// Anthropic's Messages, "responds" for one that chats and responds) come in the environment; the models are those of
// tests/clients/house.py.
import assert from "node:assert/strict";

export const { GATE, KEY, POOR_KEY, FAKE, CHANNEL } = process.env;
export const HELLO = [{ role: "user", content: "Hello" }];
export const PIXEL = Buffer.concat([Buffer.from("89504e470d0a1a0a", "hex"), Buffer.alloc(40)]).toString("base64");

const checks = [];

export function check(name, does) {
  checks.push([name, does]);
}

// What went up last for a model.
export async function asked(model) {
  const state = await (await fetch(`${FAKE}/_fake/state`)).json();
  return state.requests.filter((seen) => seen.json?.model === model).at(-1);
}

// The call ends in this error class; the error.
export async function refused(kind, call) {
  try {
    await call();
  } catch (error) {
    assert.ok(error instanceof kind, `${error?.constructor?.name} in place of ${kind.name}: ${error}`);
    return error;
  }
  assert.fail(`no ${kind.name}`);
}

export async function run(sdk) {
  let passed = 0;
  for (const [name, does] of checks) {
    try {
      await does();
      passed += 1;
    } catch (error) {
      console.log(`FAILED ${sdk}, ${CHANNEL}, ${name}: ${error.stack}`);
    }
  }
  console.log(`${passed} of ${checks.length} checks`);
  process.exit(passed === checks.length ? 0 : 1);
}
