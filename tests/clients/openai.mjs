// npm: openai
import OpenAI from 'openai';
import { all, equal, match, messages, nCtx, nTokens, ok, prompt, question, rejects, same, smollm2, story, text, tooLong,
  url } from './support.mjs';

const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: 'none', maxRetries: 0 });
const { chat, completions, models } = client;
const greedy = { model: story, temperature: 0, max_tokens: nTokens };

// Whole answers.
const whole = await chat.completions.create({ ...greedy, messages });
equal(whole.object, 'chat.completion');
match(whole.id, /^chatcmpl-/);
equal(whole.choices[0].message.role, 'assistant');
equal(whole.choices[0].message.content, text);
equal(whole.choices[0].finish_reason, 'length');
equal(whole.usage.completion_tokens, nTokens);
equal(whole.usage.total_tokens, whole.usage.prompt_tokens + nTokens);
ok(whole.timings.decode_ms >= 0);
equal((await completions.create({ ...greedy, prompt })).choices[0].text, text);

// Streams.
const chunks = await all(await chat.completions.create(
  { ...greedy, messages, stream: true, stream_options: { include_usage: true } }));
equal(chunks[0].choices[0].delta.role, 'assistant');
equal(chunks.map((chunk) => chunk.choices[0]?.delta.content ?? '').join(''), text);
same(chunks.flatMap((chunk) => chunk.choices.map((choice) => choice.finish_reason)).filter(Boolean), ['length']);
const last = chunks.at(-1);
same(last.choices, []);
same([last.usage.prompt_tokens, last.usage.completion_tokens], [whole.usage.prompt_tokens, nTokens]);
ok(last.usage.prompt_tokens_details.cached_tokens > 0, 'the prompt was there already');
const parts = await all(await completions.create({ ...greedy, prompt, stream: true }));
equal(parts.map((part) => part.choices[0].text).join(''), text);
equal(await chat.completions.stream({ ...greedy, messages }).finalContent(), text);

// Several choices and prompts; what ends and what steers them.
const many = await completions.create({ ...greedy, prompt: [prompt, prompt], n: 2 });
same(many.choices.map((choice) => choice.text), [text, text, text, text]);
same(many.choices.map((choice) => choice.index), [0, 1, 2, 3]);
equal(many.usage.prompt_tokens, 2 * whole.usage.prompt_tokens);
equal(many.usage.completion_tokens, 4 * nTokens);
const stop = text.slice(10, 16);
const stopped = await chat.completions.create({ ...greedy, messages, stop: [stop] });
equal(stopped.choices[0].message.content, text.slice(0, text.indexOf(stop)));
equal(stopped.choices[0].finish_reason, 'stop');
const sampled = { ...greedy, messages, temperature: 1.2, seed: 7 };
const [first, second] = [await chat.completions.create(sampled), await chat.completions.create(sampled)];
equal(first.choices[0].message.content, second.choices[0].message.content);

// Log-probabilities, in both forms.
const logprobs = (await chat.completions.create({ ...greedy, messages, logprobs: true, top_logprobs: 3 }))
  .choices[0].logprobs.content;
equal(logprobs.length, nTokens);
equal(logprobs.map(({ token }) => token).join(''), text);
for (const { token, logprob, top_logprobs: top } of logprobs) {
  equal(top.length, 3);
  same([top[0].token, top[0].logprob], [token, logprob]);
  ok(logprob <= 0 && top[1].logprob <= logprob && top[2].logprob <= top[1].logprob);
}
const lists = (await completions.create({ ...greedy, prompt, logprobs: 2 })).choices[0].logprobs;
same(lists.token_logprobs, logprobs.map(({ logprob }) => logprob));
same(lists.tokens.map((token, i) => text.startsWith(token, lists.text_offset[i])), lists.tokens.map(() => true));
const banned = await chat.completions.create({ ...greedy, messages, max_tokens: 1, logprobs: true, logit_bias: { 1: -100 } });
equal(banned.choices.length, 1);

// The models.
const ids = (await all(await models.list())).map(({ id }) => id);
ok(ids.includes(story), ids);
equal((await models.retrieve(story)).context_length, nCtx);

// Errors.
const fails = (request, ...parts) => rejects(chat.completions.create({ ...greedy, messages, ...request }), (error) => {
  equal(error.status, parts[0]);
  for (const part of parts.slice(1)) match(error.message, part);
  return true;
});
await fails({ model: 'nobody' }, 404, /nobody/, new RegExp(story));
await fails({ temperature: -1 }, 400, /temperature: -1, allowed is a number, at least 0/);
await fails({ top_p: 1.5 }, 400, /top_p: 1.5/);
await fails({ n: 0 }, 400, /n: 0/);
await fails({ tools: [{ type: 'function', function: { name: 'f', parameters: {} } }] }, 400, /tools: .*not supported/);
await fails({ tool_choice: 'required' }, 400, /tool_choice/);
await fails({ response_format: { type: 'json_object' } }, 400, /response_format/);
await fails({ messages: [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'x' } }] }] }, 400,
  /messages.0.content.0.type: "image_url"/);
await rejects(chat.completions.create({ ...greedy, messages: tooLong }), (error) => {
  equal(error.status, 400);
  equal(error.code, 'context_length_exceeded');
  equal(error.type, 'exceed_context_size_error');
  equal(error.error.n_ctx, nCtx);
  ok(error.error.n_prompt_tokens > nCtx);
  return true;
});
await rejects(chat.completions.create({ ...greedy, messages: tooLong, stream: true }), { status: 400 });

// A client that leaves, and the next one.
const left = await chat.completions.create({ ...greedy, messages, max_tokens: 200, stream: true });
for await (const _ of left) break;
equal((await chat.completions.create({ ...greedy, messages })).choices[0].message.content, text);

// A model with a template.
if (smollm2) {
  const asked = { model: smollm2, temperature: 0, max_tokens: 24, messages: question };
  const answer = (await chat.completions.create(asked)).choices[0];
  match(answer.message.content, /Paris/);
  equal(await chat.completions.stream(asked).finalContent(), answer.message.content);
}
