// npm: @langchain/openai
import { ChatOpenAI, OpenAI } from '@langchain/openai';
import { all, equal, match, nTokens, ok, prompt, question, rejects, smollm2, story, text, url } from './support.mjs';

const options = (model) => ({
  model, temperature: 0, maxTokens: nTokens, maxRetries: 0, apiKey: 'none', configuration: { baseURL: `${url}/v1` },
});

const chat = new ChatOpenAI(options(story));
const whole = await chat.invoke(prompt);
equal(whole.content, text);
equal(whole.usage_metadata.output_tokens, nTokens);
const chunks = await all(await chat.stream(prompt));
equal(chunks.map(({ content }) => content).join(''), text);
ok(chunks.some(({ usage_metadata: usage }) => usage?.output_tokens === nTokens));
equal(await new OpenAI(options(story)).invoke(prompt), text);

await rejects(new ChatOpenAI(options('nobody')).invoke(prompt), { status: 404, message: /nobody/ });
await rejects(new ChatOpenAI({ ...options(story), topP: 2 }).invoke(prompt), { status: 400, message: /top_p: 2/ });

if (smollm2) match((await new ChatOpenAI(options(smollm2)).invoke(question)).content, /Paris/);
