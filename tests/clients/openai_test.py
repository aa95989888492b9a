"""Python: openai"""

import openai

from support import fails, messages, question, same, test, too_long

client = openai.OpenAI(base_url=f"{test.url}/v1", api_key="none", max_retries=0)
create = client.chat.completions.create
greedy = {"model": test.story, "temperature": 0, "max_tokens": test.n_tokens}

whole = create(**greedy, messages=messages)
same(whole.choices[0].message.content, test.text)
same(whole.choices[0].finish_reason, "length")
same(whole.usage.completion_tokens, test.n_tokens)
same(client.completions.create(**greedy, prompt=test.prompt).choices[0].text, test.text)

chunks = list(create(**greedy, messages=messages, stream=True, stream_options={"include_usage": True}))
same("".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices), test.text)
same(chunks[-1].usage.completion_tokens, test.n_tokens)
assert chunks[-1].usage.prompt_tokens_details.cached_tokens > 0, "the prompt was there already"
parts = client.completions.create(**greedy, prompt=test.prompt, stream=True)
same("".join(part.choices[0].text for part in parts), test.text)

logprobs = create(**greedy, messages=messages, logprobs=True, top_logprobs=2).choices[0].logprobs.content
same("".join(token.token for token in logprobs), test.text)
same(b"".join(bytes(token.bytes) for token in logprobs).decode(), test.text)
same([len(token.top_logprobs) for token in logprobs], [2] * test.n_tokens)

same([choice.index for choice in create(**greedy, messages=messages, n=3).choices], [0, 1, 2])
assert test.story in [model.id for model in client.models.list()]
same(client.models.retrieve(test.story).id, test.story)

with fails(openai.NotFoundError, 404, "nobody", test.story):
    create(**greedy | {"model": "nobody"}, messages=messages)
with fails(openai.BadRequestError, 400, "temperature: -1, allowed is a number, at least 0"):
    create(**greedy | {"temperature": -1}, messages=messages)
with fails(openai.BadRequestError, 400, "tools"):
    create(**greedy, messages=messages, tools=[{"type": "function", "function": {"name": "f"}}])
with fails(openai.BadRequestError, 400, "response_format"):
    create(**greedy, messages=messages, response_format={"type": "json_object"})
with fails(openai.BadRequestError, 400, f"tokens.*{test.n_ctx}") as caught:
    create(**greedy, messages=too_long)
same(caught[0].code, "context_length_exceeded")

with create(**greedy | {"max_tokens": 200}, messages=messages, stream=True) as left:
    next(iter(left))
same(create(**greedy, messages=messages).choices[0].message.content, test.text)

if test.smollm2:
    assert "Paris" in create(model=test.smollm2, temperature=0, max_tokens=24, messages=question).choices[0].message.content
