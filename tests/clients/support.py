"""What the tests of all Python packages use. run.py starts the server and says where it is and what is expected."""

import contextlib
import json
import os
import re
import types

test = types.SimpleNamespace(**json.loads(os.environ["WOOLLY_CLIENT_TEST"]))

# A user message with the prompt: a model without a template continues it.
messages = [{"role": "user", "content": test.prompt}]

# One that a model with a template answers.
question = [
    {"role": "system", "content": "You answer in one short sentence."},
    {"role": "user", "content": "What is the capital of France?"},
]

# Longer than the context of the model.
too_long = [{"role": "user", "content": "once upon a time " * test.n_ctx}]


def same(found, expected):
    assert found == expected, f"found {found!r}, expected {expected!r}"


@contextlib.contextmanager
def fails(kind, status, *patterns):
    """Expects an error of the package, with an HTTP status and a message that has all patterns. Gives a list with it."""
    caught = []
    try:
        yield caught
    except kind as error:
        caught.append(error)
        same(error.status_code, status)
        for pattern in patterns:
            assert re.search(pattern, str(error)), f"found {error}, expected {pattern}"
    else:
        raise AssertionError(f"no error, expected {status}")
