#!/usr/bin/python3
"""Renders templates over conversations with Jinja as transformers sets it up: oracle.py CASES FOLDER OUT

CASES is a JSON array of conversations, FOLDER holds *.jinja; OUT becomes a JSON object: template name -> array of the text for
each conversation, or null where the template refuses it.
"""

import datetime
import json
import pathlib
import sys

import jinja2
import jinja2.ext
import jinja2.nodes
import jinja2.sandbox


class Generation(jinja2.ext.Extension):
    """The tag `generation` marks what the model wrote; rendering shows what is in it."""

    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.Scope(body).set_lineno(line)


def raise_exception(message):
    raise jinja2.exceptions.TemplateError(message)


def tojson(value, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def environment(now):
    env = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[Generation, jinja2.ext.loopcontrols])
    env.filters["tojson"] = tojson
    env.globals["raise_exception"] = raise_exception
    clock = datetime.datetime.fromtimestamp(now, datetime.timezone.utc)
    env.globals["strftime_now"] = clock.strftime
    return env


def render(source, case):
    try:
        return environment(case["now"]).from_string(source).render(
            messages=case["messages"], tools=case["tools"], documents=None,
            add_generation_prompt=case["add_generation_prompt"], bos_token=case["bos_token"],
            eos_token=case["eos_token"], **case["extra"])
    except Exception as error:  # whatever it is, it refuses
        print(f"refused: {error!r}", file=sys.stderr)
        return None


def main():
    cases = json.loads(pathlib.Path(sys.argv[1]).read_text())
    rendered = {}
    for path in sorted(pathlib.Path(sys.argv[2]).glob("*.jinja")):
        source = path.read_text()
        rendered[path.name] = [render(source, case) for case in cases]
    pathlib.Path(sys.argv[3]).write_text(json.dumps(rendered))


main()
