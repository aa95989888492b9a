#!/usr/bin/env python3
"""Checks that the code keeps the layers of ARCHITECTURE.md: check_layers.py [root of the repository]

Prints one line for each violation and exits with 1 if there is any.
"""

import pathlib
import re
import sys

# A folder of src/ may use only folders of a smaller number, and itself.
LAYERS = {
    "base": 0,
    "os": 1, "quant": 1, "simd": 1,
    "chat": 2, "gguf": 2,
    "kernels": 3, "model": 3, "quantize": 3, "text": 3,
    "plan": 4, "sample": 4,
    "arch": 5, "pack": 5,
    "exec": 6,
    "engine": 7, "store": 7,
    "serve": 8, "http": 8, "speculate": 8,
    "bench": 9, "server": 9,
    "cli": 10,
}

# Where a folder may use another one, but only some headers of it.
ONLY_HEADERS = {("kernels", "os"): {"os/cpu.h"}}

# Third-party headers by the first part of their path, with their CMake targets: who may use them.
THIRD_PARTY = {
    "fmt": ("fmt::", lambda folder: LAYERS[folder] >= 1),
    "nlohmann": ("nlohmann_json::", lambda folder: LAYERS[folder] >= 2),
    "curl": ("CURL::", lambda folder: folder == "store"),
    "openssl": ("OpenSSL::", lambda folder: folder == "store"),
    "oneapi": ("DNNL::", lambda folder: folder == "bench"),
    "boost": ("Boost::", lambda folder: folder == "http"),
    "CLI": ("CLI11::", lambda folder: folder == "cli"),
}

# Only src/os includes these.
OS_HEADER = re.compile(
    r"(sys|linux|asm|arpa|net|netinet)/.*"
    r"|(cpuid|dirent|dlfcn|fcntl|ftw|glob|grp|netdb|poll|pthread|pwd|sched|signal|spawn|syslog|termios|ucontext"
    r"|unistd|windows)\.h")

# Only src/simd and the folders below src/kernels include these.
INTRINSICS_HEADER = re.compile(r"\w*intrin\.h|arm_(neon|sve|sme|acle|bf16|fp16)\.h")

STANDARD_HEADER = re.compile(r"[a-z0-9_]+")  # <vector>, <cstdint>
C_HEADER = re.compile(r"[a-z0-9_]+\.h")  # <math.h>: such as are not in the two tables above

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]')
LIBRARY = re.compile(r"woolly_library\s*\(\s*(\w+)\s+([^)]*)\)")


def check_folder(folder, used):
    """The reason why `folder` may not use the folder `used` of ours, or None."""
    if used not in LAYERS:
        return f"{used} is not in the table of layers"
    if folder != used and LAYERS[used] >= LAYERS[folder]:
        return f"{folder} (layer {LAYERS[folder]}) may not use {used} (layer {LAYERS[used]})"
    return None


def check_include(path, bracket, header):
    """The reason why the file at `path`, relative to the root, may not include `header`, or None."""
    is_public = path.parts[0] == "include"
    first = header.split("/")[0]
    if bracket == '"':
        if first == "woolly":
            return None
        if is_public:
            return f'a public header may not include "{header}"'
        folder = path.parts[1]
        reason = check_folder(folder, first)
        allowed = ONLY_HEADERS.get((folder, first))
        if reason is None and allowed is not None and header not in allowed:
            return f"{folder} may use only {', '.join(sorted(allowed))} of {first}"
        return reason
    if STANDARD_HEADER.fullmatch(header):
        return None
    if is_public:
        return f"a public header may not include <{header}>"
    folder = path.parts[1]
    if OS_HEADER.fullmatch(header):
        return None if folder == "os" else f"<{header}> belongs into src/os"
    if INTRINSICS_HEADER.fullmatch(header):
        is_kernel = folder == "simd" or (folder == "kernels" and len(path.parts) > 3)
        return None if is_kernel else f"<{header}> belongs into src/simd or below src/kernels"
    if "/" not in header and C_HEADER.fullmatch(header):
        return None
    if first not in THIRD_PARTY:
        return f"<{header}> is not in the table of third-party headers"
    return None if THIRD_PARTY[first][1](folder) else f"{folder} may not include <{header}>"


def check_source(root, path):
    relative = path.relative_to(root)
    if relative.parts[0] == "src" and relative.parts[1] not in LAYERS:
        yield f"{relative}: {relative.parts[1]} is not in the table of layers"
        return
    for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1):
        if match := INCLUDE.match(line):
            if reason := check_include(relative, *match.groups()):
                yield f"{relative}:{number}: {reason}"


def check_cmake(root, path):
    relative = path.relative_to(root)
    text = re.sub(r"#.*", "", path.read_text(encoding="utf-8"))
    for folder, arguments in LIBRARY.findall(text):
        if folder not in LAYERS:
            yield f"{relative}: {folder} is not in the table of layers"
            continue
        words = arguments.split()
        for used in words[words.index("DEPENDS") + 1:] if "DEPENDS" in words else []:
            if "::" in used:
                for target, is_allowed in THIRD_PARTY.values():
                    if used.startswith(target) and not is_allowed(folder):
                        yield f"{relative}: {folder} may not link {used}"
            elif reason := check_folder(folder, used.removeprefix("woolly_")):
                yield f"{relative}: {reason}"


def main():
    root = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent.parent).resolve()
    sources = sorted(p for folder in ("src", "include") for p in (root / folder).rglob("*")
                     if p.suffix in (".h", ".cpp", ".inc"))
    violations = [v for path in sources for v in check_source(root, path)]
    violations += [v for path in sorted((root / "src").rglob("CMakeLists.txt")) for v in check_cmake(root, path)]
    if not sources:
        violations.append(f"{root}: no sources found")
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
