// npm: @anthropic-ai/sdk
import Anthropic from '@anthropic-ai/sdk';
import { all, equal, match, messages, nCtx, nTokens, ok, prompt, question, rejects, same, smollm2, story, text, tooLong,
  url } from './support.mjs';

const client = new Anthropic({ baseURL: url, apiKey: 'none', maxRetries: 0 });
const greedy = { model: story, temperature: 0, max_tokens: nTokens };

// Whole answers.
const whole = await client.messages.create({ ...greedy, messages });
match(whole.id, /^msg_/);
same([whole.type, whole.role, whole.model], ['message', 'assistant', story]);
same(whole.content, [{ type: 'text', text }]);
same([whole.stop_reason, whole.stop_sequence, whole.usage.output_tokens], ['max_tokens', null, nTokens]);
const blocks = await client.messages.create({ ...greedy, messages: [{ role: 'user', content: [{ type: 'text', text: prompt }] }] });
equal(blocks.content[0].text, text);
const { input_tokens: nPrompt } = await client.messages.countTokens({ model: story, messages });
equal(blocks.usage.input_tokens + blocks.usage.cache_read_input_tokens, nPrompt);
ok(blocks.usage.cache_read_input_tokens > 0, 'the prompt was there already');

// Streams.
const events = await all(await client.messages.create({ ...greedy, messages, stream: true }));
const types = events.map(({ type }) => type).filter((type) => type !== 'content_block_delta');
same(types, ['message_start', 'content_block_start', 'content_block_stop', 'message_delta', 'message_stop']);
const streamed = await client.messages.stream({ ...greedy, messages }).finalMessage();
same(streamed.content.map((block) => block.text), [text]);
same([streamed.stop_reason, streamed.usage.output_tokens], ['max_tokens', nTokens]);

// What ends it, and an answer that is begun.
const stop = text.slice(10, 16);
const stopped = await client.messages.create({ ...greedy, messages, stop_sequences: [stop] });
same([stopped.content[0].text, stopped.stop_reason, stopped.stop_sequence],
  [text.slice(0, text.indexOf(stop)), 'stop_sequence', stop]);

// The line for billing does not count.
const header = 'x-anthropic-billing-header: cc_version=2.1.0; cch=';
const counted = (system) => client.messages.countTokens({ model: story, messages, system });
same(await counted([{ type: 'text', text: `${header}1a2b` }, { type: 'text', text: 'Be kind.' }]), await counted('Be kind.'));
same(await counted(`${header}ff\nBe kind.`), await counted('Be kind.'));

// The models.
const ids = (await all(client.models.list())).map(({ id }) => id);
ok(ids.includes(story), ids);
equal((await client.models.retrieve(story)).display_name, story);

// Errors.
const fails = (request, status, type, ...parts) =>
  rejects(client.messages.create({ ...greedy, messages, ...request }), (error) => {
    same([error.status, error.error.type, error.error.error.type], [status, 'error', type]);
    for (const part of parts) match(error.message, part);
    return true;
  });
await fails({ model: 'nobody' }, 404, 'not_found_error', /nobody/, new RegExp(story));
await fails({ temperature: -1 }, 400, 'invalid_request_error', /temperature: -1/);
await fails({ max_tokens: 0 }, 400, 'invalid_request_error', /max_tokens: 0/);
await fails({ tools: [{ name: 'f', input_schema: { type: 'object' } }] }, 400, 'invalid_request_error', /tools/);
await fails({ thinking: { type: 'enabled', budget_tokens: 1024 } }, 400, 'invalid_request_error', /thinking/);
await fails({ messages: [{ role: 'user', content: [{ type: 'image', source: { type: 'url', url: 'x' } }] }] }, 400,
  'invalid_request_error', /messages.0.content.0.type: ..image/);
await fails({ messages: tooLong }, 400, 'invalid_request_error', new RegExp(`prompt is too long: \\d+ tokens > ${nCtx} maximum`));

// A client that leaves, and the next one.
for await (const _ of await client.messages.create({ ...greedy, messages, max_tokens: 200, stream: true })) break;
equal((await client.messages.create({ ...greedy, messages })).content[0].text, text);

// A model with a template.
if (smollm2) {
  const [{ content: system }, ...rest] = question;
  const asked = { model: smollm2, temperature: 0, max_tokens: 24, system, messages: rest };
  const answer = (await client.messages.create(asked)).content[0].text;
  match(answer, /Paris/);
  equal((await client.messages.stream(asked).finalMessage()).content[0].text, answer);
  const begun = await client.messages.create(
    { ...asked, messages: [...rest, { role: 'assistant', content: answer.slice(0, answer.indexOf('Paris')).trimEnd() }] });
  match(begun.content[0].text, /^ ?Paris/);
}
