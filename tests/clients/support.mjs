// What the tests of all npm packages use. run.py starts the server and says where it is and what is expected.
export { deepStrictEqual as same, match, ok, rejects, strictEqual as equal } from 'node:assert';

export const { url, story, smollm2, prompt, text, n_tokens: nTokens, n_ctx: nCtx } = JSON.parse(process.env.WOOLLY_CLIENT_TEST);

/// A user message with the prompt: a model without a template continues it.
export const messages = [{ role: 'user', content: prompt }];

/// One that a model with a template answers.
export const question = [
  { role: 'system', content: 'You answer in one short sentence.' },
  { role: 'user', content: 'What is the capital of France?' },
];

/// Longer than the context of the model.
export const tooLong = [{ role: 'user', content: 'once upon a time '.repeat(nCtx) }];

/// The items of a stream.
export async function all(stream) {
  const items = [];
  for await (const item of stream) items.push(item);
  return items;
}
