// npm: ai, with its provider for servers that speak OpenAI's interface
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { generateText, streamText } from 'ai';
import { all, equal, match, messages, nTokens, ok, prompt, question, rejects, same, smollm2, story, text,
  url } from './support.mjs';

const woolly = createOpenAICompatible({ name: 'woolly', baseURL: `${url}/v1`, includeUsage: true });
const greedy = { temperature: 0, maxOutputTokens: nTokens, maxRetries: 0 };

const whole = await generateText({ ...greedy, model: woolly(story), messages });
same([whole.text, whole.finishReason, whole.usage.outputTokens], [text, 'length', nTokens]);

const stream = streamText({ ...greedy, model: woolly(story), messages });
equal((await all(stream.textStream)).join(''), text);
same([await stream.finishReason, (await stream.usage).outputTokens], ['length', nTokens]);
ok((await stream.usage).inputTokenDetails.cacheReadTokens > 0, 'the prompt was there already');

equal((await generateText({ ...greedy, model: woolly.completionModel(story), prompt })).text.length > 0, true);

await rejects(generateText({ ...greedy, model: woolly('nobody'), messages }), { statusCode: 404, message: /nobody/ });
await rejects(generateText({ ...greedy, model: woolly(story), messages, temperature: -1 }),
  { statusCode: 400, message: /temperature: -1/ });

if (smollm2) {
  const asked = { ...greedy, model: woolly(smollm2), messages: question };
  const answer = (await generateText(asked)).text;
  match(answer, /Paris/);
  equal((await all(streamText(asked).textStream)).join(''), answer);
}
