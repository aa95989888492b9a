// npm: ollama
import { Ollama } from 'ollama';
import { all, equal, match, messages, nCtx, nTokens, ok, prompt, question, rejects, same, smollm2, story, text, tooLong,
  url } from './support.mjs';

const client = new Ollama({ host: url });
const greedy = { model: story, options: { temperature: 0, num_predict: nTokens } };

// Whole answers.
const whole = await client.generate({ ...greedy, prompt });
equal(whole.response, text);
same([whole.done, whole.done_reason, whole.eval_count], [true, 'length', nTokens]);
ok(whole.prompt_eval_count > 0 && whole.total_duration > 0 && whole.eval_duration > 0);
equal((await client.generate({ ...greedy, prompt, raw: true })).response, text);
const chat = await client.chat({ ...greedy, messages });
same([chat.message.role, chat.message.content], ['assistant', text]);
same([chat.done, chat.done_reason, chat.eval_count], [true, 'length', nTokens]);

// Streams.
const lines = await all(await client.generate({ ...greedy, prompt, stream: true }));
equal(lines.map((line) => line.response).join(''), text);
same([lines[0].done, lines.at(-1).done, lines.at(-1).eval_count], [false, true, nTokens]);
const parts = await all(await client.chat({ ...greedy, messages, stream: true }));
equal(parts.map((part) => part.message.content).join(''), text);

// An answer's context is where the next one begins.
const half = Math.floor(nTokens / 2);
const begun = await client.generate({ ...greedy, prompt, options: { temperature: 0, num_predict: half } });
equal(begun.context.length, begun.prompt_eval_count + half);
const again = await client.generate({ ...greedy, prompt: '.', context: begun.context });
equal(again.prompt_eval_count > begun.prompt_eval_count + half, true);

// What ends and what steers.
const stop = text.slice(10, 16);
const stopped = await client.generate({ ...greedy, prompt, options: { ...greedy.options, stop: [stop] } });
same([stopped.response, stopped.done_reason], [text.slice(0, text.indexOf(stop)), 'stop']);
const sampled = { ...greedy, prompt, options: { num_predict: nTokens, temperature: 1.2, seed: 7 } };
equal((await client.generate(sampled)).response, (await client.generate(sampled)).response);
const short = await client.generate({ ...greedy, prompt, options: { temperature: 0, num_ctx: whole.prompt_eval_count + 3 } });
same([short.eval_count, short.done_reason], [3, 'length']);

// Loading and unloading.
same((await client.generate({ model: story, prompt: '', keep_alive: '10m' })).done_reason, 'load');
ok((await client.ps()).models.some(({ name }) => name === story));
same((await client.generate({ model: story, prompt: '', keep_alive: 0 })).done_reason, 'unload');
equal((await client.generate({ ...greedy, prompt })).response, text);

// The models.
const tags = (await client.list()).models;
const tag = tags.find(({ name }) => name === story);
same([tag.model, tag.details.format, tag.details.family], [story, 'gguf', 'llama']);
equal(new Date(tag.modified_at).getFullYear() > 2000, true);
const shown = await client.show({ model: `${story}:latest` });
equal(shown.model_info['llama.context_length'], nCtx);
same(shown.capabilities, ['completion']);
match((await client.version()).version, /^\d+\.\d+\.\d+/);

// Errors.
const fails = (request, ...parts) => rejects(client.generate({ ...greedy, prompt, ...request }), (error) => {
  equal(error.status_code, parts[0]);
  for (const part of parts.slice(1)) match(error.message, part);
  return true;
});
await fails({ model: 'nobody' }, 404, /nobody/, new RegExp(story));
await fails({ model: 'nobody', stream: true }, 404, /nobody/);
await fails({ options: { temperature: -1 } }, 400, /options.temperature: -1/);
await fails({ options: { num_predict: -3 } }, 400, /options.num_predict: -3/);
await fails({ format: 'json' }, 400, /format: .*not supported/);
await fails({ images: ['AAAA'] }, 400, /images/);
await fails({ suffix: 'x' }, 400, /suffix/);
await fails({ keep_alive: 'soon' }, 400, /keep_alive: "soon"/);
await rejects(client.chat({ ...greedy, messages: tooLong }), { status_code: 400, message: new RegExp(`\\d+ tokens.*${nCtx}`) });
await rejects(client.chat({ ...greedy, messages, tools: [{ type: 'function', function: { name: 'f' } }] }), /tools/);

// A client that leaves, and the next one.
for await (const _ of await client.generate({ ...greedy, prompt, stream: true })) break;
equal((await client.generate({ ...greedy, prompt })).response, text);

// A model with a template.
if (smollm2) {
  const asked = { model: smollm2, messages: question, options: { temperature: 0, num_predict: 24 } };
  const answer = (await client.chat(asked)).message.content;
  match(answer, /Paris/);
  equal((await all(await client.chat({ ...asked, stream: true }))).map((part) => part.message.content).join(''), answer);
  const [system, user] = question;
  const generated = await client.generate({ ...asked, system: system.content, prompt: user.content });
  equal(generated.response, answer);
}
