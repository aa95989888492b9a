#!/usr/bin/env python3
"""Writes docs/security-cases.md: security_cases.py RESULTS

RESULTS is a JUnit file of ctest. Each row of tests/security/cases.tsv is shown with the tests that it names. Exits with 1
where one of them is not among the results or has not passed: the row is then shown as open.
"""

import pathlib
import re
import sys
import xml.etree.ElementTree as xml

ROOT = pathlib.Path(__file__).resolve().parents[1]

HEAD = """# Security cases

What has broken other engines, and what happens here; written by `scripts/test` from `tests/security/cases.tsv` and the
results of the tests that each row names.

| case | what | here | shown by |
| --- | --- | --- | --- |
"""


def read_results(path):
    """The names of tests, without the parameters of those that have some, to whether all of that name have passed."""
    passed = {}
    for case in xml.parse(path).getroot().iter("testcase"):
        name = re.sub(r"^(\w+\.)\w+/", r"\1", case.get("name"))
        name = "/".join(name.split("/")[:1])
        passed[name] = passed.get(name, True) and case.get("status") == "run" and case.find("failure") is None
    return passed


def main():
    passed = read_results(sys.argv[1])
    n_open = 0
    text = HEAD
    for line in (ROOT / "tests/security/cases.tsv").read_text().splitlines():
        if line.startswith("#"):
            continue
        case, what, here, tests = line.split("\t")
        missing = [test for test in tests.split() if not passed.get(test, False)]
        if missing:
            n_open += 1
            print(f"security case {case} is open: {', '.join(missing)} has not passed", file=sys.stderr)
            here = f"**open**: {here}"
        text += f"| {case} | {what} | {here} | {', '.join(f'`{test}`' for test in tests.split())} |\n"
    (ROOT / "docs/security-cases.md").write_text(text)
    sys.exit(1 if n_open else 0)


if __name__ == "__main__":
    main()
