// `node check_npm_clients.mjs ADDRESS`, in a folder with openai, ai, @ai-sdk/openai-compatible, @ai-sdk/openai and zod:
// npm's clients against `serve_script`. Not part of CI; prints a line for each check, and ends with code 1 where one fails.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const own = createRequire(pathToFileURL(`${process.cwd()}/`));
const load = (name) => import(pathToFileURL(own.resolve(name)));
const { default: OpenAI } = await load("openai");
const { zodResponseFormat } = await load("openai/helpers/zod");
const { generateObject, generateText, stepCountIs, streamObject, streamText, tool } = await load("ai");
const { createOpenAICompatible } = await load("@ai-sdk/openai-compatible");
const { createOpenAI } = await load("@ai-sdk/openai");
const { z } = await load("zod");

const address = `${process.argv[2]}/v1`;
const PERSON = z.object({ name: z.string(), age: z.number().int() });
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const WEATHER = { type: "function", function: { name: "weather", description: "Of a city.", parameters } };
const SCRIPT = 'Rome? SCRIPT [["weather", {"city": "Rome"}], "It is sunny."] END';
const user = (content) => [{ role: "user", content }];

async function openai() {
  const client = new OpenAI({ baseURL: address, apiKey: "none", maxRetries: 0 });
  const chat = (asked) => client.chat.completions.create({ model: "scripted", ...asked });
  const whole = await chat({ messages: user("think") });
  assert.equal(whole.choices[0].message.content, "All is well.");
  assert.equal(whole.choices[0].message.reasoning_content, "Let me see.");
  let text = "";
  for await (const chunk of await chat({ messages: user("hi"), stream: true })) text += chunk.choices[0]?.delta?.content ?? "";
  assert.equal(text, "All is well.");
  const called = (await chat({ messages: user("call"), tools: [WEATHER] })).choices[0];
  assert.equal(called.finish_reason, "tool_calls");
  assert.equal(called.message.tool_calls[0].function.arguments, '{"city": "Paris"}');
  const runner = client.chat.completions.runTools({
    model: "scripted",
    messages: user(SCRIPT),
    tools: [{ type: "function", function: { ...WEATHER.function, parse: JSON.parse, function: ({ city }) => `sun in ${city}` } }],
  });
  assert.equal(await runner.finalContent(), "It is sunny.");
  const parsed = await client.chat.completions.parse({
    model: "scripted",
    messages: user("hi"),
    response_format: zodResponseFormat(PERSON, "person"),
  });
  assert.equal(typeof parsed.choices[0].message.parsed.age, "number");
  const told = await chat({ messages: user("hi"), logprobs: true, top_logprobs: 2, max_tokens: 4 });
  assert.equal(told.choices[0].logprobs.content.length, 4);
  const stream = client.responses.stream({ model: "scripted", input: "think" });
  let events = 0;
  for await (const _ of stream) events++;
  assert.ok(events > 5);
  assert.equal((await stream.finalResponse()).output_text, "All is well.");
  const likely = await client.responses.create({
    model: "scripted", input: "hi", max_output_tokens: 16, top_logprobs: 3, include: ["message.output_text.logprobs"],
  });
  assert.equal(likely.output[0].content[0].logprobs[0].top_logprobs.length, 3);
  await assert.rejects(chat({ messages: user("hi"), top_p: 9 }), OpenAI.BadRequestError);
  assert.ok((await client.models.list()).data.some((model) => model.id === "scripted"));
}

async function sdk(model, { thinks = true, ...settings } = {}) {
  const tools = {
    weather: tool({ description: "Of a city.", inputSchema: z.object({ city: z.string() }), execute: async ({ city }) => `sun in ${city}` }),
  };
  const whole = await generateText({ model, prompt: "think", ...settings });
  assert.equal(whole.text, "All is well.");
  if (thinks) assert.equal(whole.reasoningText, "Let me see.");
  assert.ok(whole.usage.outputTokens > 0);
  assert.ok(whole.usage.reasoningTokens > 0);
  const streamed = streamText({ model, prompt: "hi" });
  let text = "";
  for await (const delta of streamed.textStream) text += delta;
  assert.equal(text, "All is well.");
  assert.equal(await streamed.finishReason, "stop");
  const agent = await generateText({ model, prompt: SCRIPT, tools, stopWhen: stepCountIs(4) });
  assert.equal(agent.text, "It is sunny.");
  assert.equal(agent.steps[0].toolResults[0].output, "sun in Rome");
  const live = streamText({ model, prompt: SCRIPT, tools, stopWhen: stepCountIs(4) });
  const kinds = new Set();
  for await (const part of live.fullStream) kinds.add(part.type);
  for (const kind of ["tool-input-start", "tool-input-delta", "tool-call", "tool-result", "text-delta", "finish"]) assert.ok(kinds.has(kind), kind);
  const { object } = await generateObject({ model, schema: PERSON, prompt: "hi" });
  assert.deepEqual(PERSON.parse(object), object);
  const building = streamObject({ model, schema: PERSON, prompt: "hi" });
  for await (const _ of building.partialObjectStream);
  assert.deepEqual(PERSON.parse(await building.object), await building.object);
  await assert.rejects(generateText({ model, prompt: "hi", maxRetries: 0, topP: 9 }), /top_p is 9/);
}

const compatible = createOpenAICompatible({ name: "lookahead", baseURL: address, supportsStructuredOutputs: true, includeUsage: true });
const hosted = createOpenAI({ baseURL: address, apiKey: "none" });
const summary = { providerOptions: { openai: { reasoningSummary: "auto", forceReasoning: true } } };
const checks = {
  openai,
  "ai with @ai-sdk/openai-compatible": () => sdk(compatible("scripted")),
  "ai with @ai-sdk/openai, responses": () => sdk(hosted.responses("scripted"), summary),
  "ai with @ai-sdk/openai, chat": () => sdk(hosted.chat("scripted"), { thinks: false }), // it reads no reasoning_content
};
for (const [name, check] of Object.entries(checks)) {
  try {
    await check();
    console.log(`${name}: works`);
  } catch (error) {
    process.exitCode = 1;
    console.error(error);
    console.log(`${name}: failed`);
  }
}
