"""Python: ollama"""

import ollama

from support import fails, messages, question, same, test, too_long

client = ollama.Client(host=test.url)
greedy = {"model": test.story, "options": {"temperature": 0, "num_predict": test.n_tokens}}

whole = client.generate(**greedy, prompt=test.prompt)
same(whole.response, test.text)
same((whole.done, whole.done_reason, whole.eval_count), (True, "length", test.n_tokens))
chat = client.chat(**greedy, messages=messages)
same((chat.message.role, chat.message.content), ("assistant", test.text))

same("".join(line.response for line in client.generate(**greedy, prompt=test.prompt, stream=True)), test.text)
lines = list(client.chat(**greedy, messages=messages, stream=True))
same("".join(line.message.content for line in lines), test.text)
same((lines[-1].done, lines[-1].eval_count), (True, test.n_tokens))

same(client.generate(model=test.story, prompt="", keep_alive="10m").done_reason, "load")
loaded = {model.model: model for model in client.ps().models}[test.story]
assert loaded.size > 0 and loaded.expires_at.year > 2000
same(client.generate(model=test.story, prompt="", keep_alive=0).done_reason, "unload")
same({model.model: model for model in client.list().models}[test.story].details.family, "llama")
same(client.show(test.story).modelinfo["llama.context_length"], test.n_ctx)

with fails(ollama.ResponseError, 404, "nobody", test.story):
    client.generate(**greedy | {"model": "nobody"}, prompt=test.prompt)
with fails(ollama.ResponseError, 404, "nobody"):
    list(client.generate(**greedy | {"model": "nobody"}, prompt=test.prompt, stream=True))
with fails(ollama.ResponseError, 400, "options.top_p: 2"):
    client.generate(**greedy | {"options": {"top_p": 2}}, prompt=test.prompt)
with fails(ollama.ResponseError, 400, "format"):
    client.generate(**greedy, prompt=test.prompt, format="json")
with fails(ollama.ResponseError, 400, f"tokens.*{test.n_ctx}"):
    client.chat(**greedy, messages=too_long)

for _ in client.generate(**greedy, prompt=test.prompt, stream=True):
    break
same(client.generate(**greedy, prompt=test.prompt).response, test.text)

if test.smollm2:
    asked = {"model": test.smollm2, "messages": question, "options": {"temperature": 0, "num_predict": 24}}
    assert "Paris" in client.chat(**asked).message.content
