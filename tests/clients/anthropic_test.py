"""Python: anthropic"""

import anthropic

from support import fails, messages, question, same, test, too_long

client = anthropic.Anthropic(base_url=test.url, api_key="none", max_retries=0)
create = client.messages.create
greedy = {"model": test.story, "max_tokens": test.n_tokens, "extra_body": {"temperature": 0}}

whole = create(**greedy, messages=messages)
same([block.text for block in whole.content], [test.text])
same((whole.stop_reason, whole.usage.output_tokens), ("max_tokens", test.n_tokens))
counted = client.messages.count_tokens(model=test.story, messages=messages).input_tokens
same(whole.usage.input_tokens + whole.usage.cache_read_input_tokens, counted)

with client.messages.stream(**greedy, messages=messages) as stream:
    same("".join(stream.text_stream), test.text)
    same(stream.get_final_message().usage.output_tokens, test.n_tokens)
types = [event.type for event in create(**greedy, messages=messages, stream=True)]
same((types[0], types[1], types[-2], types[-1]),
     ("message_start", "content_block_start", "message_delta", "message_stop"))

with fails(anthropic.NotFoundError, 404, "nobody", test.story):
    create(**greedy | {"model": "nobody"}, messages=messages)
with fails(anthropic.BadRequestError, 400, "top_k: -1"):
    create(**greedy | {"extra_body": {"top_k": -1}}, messages=messages)
with fails(anthropic.BadRequestError, 400, "tools"):
    create(**greedy, messages=messages, tools=[{"name": "f", "input_schema": {"type": "object"}}])
with fails(anthropic.BadRequestError, 400, "prompt is too long", str(test.n_ctx)):
    create(**greedy, messages=too_long)

with create(**greedy | {"max_tokens": 200}, messages=messages, stream=True) as left:
    next(iter(left))
same(create(**greedy, messages=messages).content[0].text, test.text)

if test.smollm2:
    system, *rest = question
    answer = create(model=test.smollm2, extra_body={"temperature": 0}, max_tokens=24, system=system["content"], messages=rest)
    assert "Paris" in answer.content[0].text
