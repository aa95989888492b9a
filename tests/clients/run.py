#!/usr/bin/env python3
"""Drives the server with a client that people use: run.py WOOLLY PACKAGES SCRIPT

WOOLLY is the built program and PACKAGES the folder where scripts/clients has put the clients' packages. Starts the server
with stories260K, and SmolLM2 where scripts/model has put it, and runs SCRIPT, a program for Node or Python. It passes if
SCRIPT does and the server then ends by itself when asked to. Exits with 77 where packages or models are missing.
"""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

N_TOKENS = 24
PROMPT = "Once upon a time"
LIMIT_S = 120


def skip(reason):
    print(f"skipped: {reason}")
    sys.exit(77)


def find_models():
    """The paths of stories260K and, or None, SmolLM2."""
    here = pathlib.Path(__file__).resolve().parent
    shared = pathlib.Path(os.environ.get("WOOLLY_SHARED", here.parents[2] / "shared"))
    story = shared / "models" / "stories260K.gguf"
    if not story.exists():
        skip(f"no {story}")
    data = os.environ.get("XDG_DATA_HOME", "")
    if not data.startswith("/"):
        data = os.path.expanduser("~/.local/share")
    smollm2 = pathlib.Path(data) / "woolly" / "models" / "smollm2-135m.gguf"
    return story, smollm2 if smollm2.exists() else None


def find_interpreter(packages, script):
    if script.suffix == ".py":
        interpreter = packages / "venv" / "bin" / "python"
        return interpreter if interpreter.exists() else skip(f"no {interpreter}; scripts/clients installs it")
    if not (packages / "node_modules").exists():
        skip(f"no {packages / 'node_modules'}; scripts/clients installs it")
    own = packages / "node_modules" / ".bin" / "node"
    return own if own.exists() else shutil.which("node") or skip("no node; scripts/clients installs it")


def output_of(*command):
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout.decode()


def wait_until_ready(server, url):
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        if server.poll() is not None:
            sys.exit(f"the server ended with {server.returncode}")
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):
                return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.05)
    sys.exit(f"the server is not ready after {LIMIT_S} s")


def main():
    woolly, packages, script = (pathlib.Path(argument).resolve() for argument in sys.argv[1:])
    interpreter = find_interpreter(packages, script)
    story, smollm2 = find_models()
    text = output_of(woolly, "run", story, "-p", PROMPT, "-n", str(N_TOKENS), "--temp", "0")
    n_ctx = json.loads(output_of(woolly, "info", story, "--json"))["context_length"]
    server = subprocess.Popen([woolly, "serve", *filter(None, (story, smollm2)), "--port", "0"], stdout=subprocess.PIPE)
    try:
        url = server.stdout.readline().decode().removeprefix("listening on ").strip()
        wait_until_ready(server, url)
        expected = {"url": url, "story": story.stem, "smollm2": smollm2.stem if smollm2 else None, "prompt": PROMPT,
                    "text": text, "n_tokens": N_TOKENS, "n_ctx": n_ctx}
        # Packages are found beside the script, so it is run where they are.
        place = packages / "tests" / script.name
        place.mkdir(parents=True, exist_ok=True)
        for source in (script, script.with_name(f"support{script.suffix}")):
            shutil.copy(source, place)
        status = subprocess.run([interpreter, place / script.name], timeout=LIMIT_S,
                                env=os.environ | {"WOOLLY_CLIENT_TEST": json.dumps(expected)}).returncode
        if status != 0:
            sys.exit(f"{script.name} ended with {status}")
        server.send_signal(signal.SIGTERM)
        if server.wait(LIMIT_S) != 0:
            sys.exit(f"the server ended with {server.returncode}")
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
