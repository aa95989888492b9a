"""check_layers reports each kind of violation: check_layers_test.py <check_layers.py>"""

import pathlib
import subprocess
import sys
import tempfile
import unittest

CHECKER = sys.argv.pop(1)


def check(files):
    """The exit status and the lines for a repository of these files, path to text."""
    with tempfile.TemporaryDirectory() as root:
        for path, text in files.items():
            path = pathlib.Path(root, path)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        done = subprocess.run([sys.executable, CHECKER, root], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout.splitlines()


class CheckLayers(unittest.TestCase):
    def assert_violation(self, path, text, message, line=None):
        status, lines = check({path: text})
        place = path if line is None else f"{path}:{line}"
        self.assertEqual((status, lines), (1, [f"{place}: {message}"]))

    def test_accepts_what_is_allowed(self):
        files = {
            "include/woolly/model.h": '#include <vector>\n#include "woolly/error.h"\n',
            "src/base/error.cpp": '#include "woolly/error.h"\n#include "base/assert.h"\n#include <cstdio>\n',
            "src/os/cpu.cpp": '#include <cpuid.h>\n#include <sys/mman.h>\n#include <linux/futex.h>\n#include <fmt/format.h>',
            "src/simd/vec.h": "#include <immintrin.h>\n",
            "src/kernels/impl/table.cpp": "#include <immintrin.h>\n#include <arm_neon.h>\n#include <math.h>\n",
            "src/kernels/dispatch.cpp": '#include "os/cpu.h"\n#include "quant/dtype.h"\n',
            "src/gguf/parse.cpp": '#include <nlohmann/json.hpp>\n// #include "cli/main.h"\n',
            "src/cli/run.cpp": '#include <CLI/CLI.hpp>\n#include "engine/model.h"\n#include "base/assert.h"\n',
            "src/gguf/CMakeLists.txt": "woolly_library(gguf SOURCES parse.cpp DEPENDS base os fmt::fmt)  # not exec\n",
            "src/cli/CMakeLists.txt": "woolly_library(cli SOURCES a.cpp\n  DEPENDS engine CLI11::CLI11)\n",
        }
        self.assertEqual(check(files), (0, []))

    def test_reports_a_higher_layer(self):
        self.assert_violation("src/gguf/a.h", '\n  #  include "model/spec.h"\n',
                              "gguf (layer 2) may not use model (layer 3)", 2)

    def test_reports_an_equal_layer(self):
        self.assert_violation("src/quant/a.cpp", '#include "os/cpu.h"\n', "quant (layer 1) may not use os (layer 1)", 1)

    def test_reports_a_path_that_names_no_folder_of_ours(self):
        self.assert_violation("src/text/a.cpp", '#include "trie.h"', "trie.h is not in the table of layers", 1)
        self.assert_violation("src/text/a.cpp", '#include "../gguf/gguf.h"', ".. is not in the table of layers", 1)

    def test_reports_a_folder_without_a_layer(self):
        self.assert_violation("src/utils/a.cpp", "", "utils is not in the table of layers")

    def test_reports_more_of_os_than_kernels_may_use(self):
        self.assert_violation("src/kernels/a.cpp", '#include "os/thread_pool.h"', "kernels may use only os/cpu.h of os", 1)

    def test_reports_headers_of_the_operating_system(self):
        for header in ("sys/mman.h", "unistd.h", "fcntl.h", "sched.h", "linux/futex.h", "cpuid.h", "pthread.h"):
            self.assert_violation("src/exec/a.cpp", f"#include <{header}>", f"<{header}> belongs into src/os", 1)

    def test_reports_intrinsics(self):
        for header in ("immintrin.h", "x86intrin.h", "emmintrin.h", "arm_neon.h"):
            for path in ("src/quant/a.cpp", "src/kernels/dispatch.cpp"):
                self.assert_violation(path, f"#include <{header}>",
                                      f"<{header}> belongs into src/simd or below src/kernels", 1)

    def test_reports_all_but_the_standard_library_in_a_public_header(self):
        for header in ("<fmt/format.h>", "<nlohmann/json.hpp>", "<unistd.h>", '"gguf/gguf.h"'):
            self.assert_violation("include/woolly/a.h", f"#include {header}",
                                  f"a public header may not include {header}", 1)

    def test_reports_third_party_headers_outside_their_folders(self):
        self.assert_violation("src/engine/a.cpp", "#include <CLI/CLI.hpp>", "engine may not include <CLI/CLI.hpp>", 1)
        self.assert_violation("src/quant/a.cpp", "#include <nlohmann/json.hpp>",
                              "quant may not include <nlohmann/json.hpp>", 1)
        self.assert_violation("src/base/a.cpp", "#include <fmt/format.h>", "base may not include <fmt/format.h>", 1)
        self.assert_violation("src/cli/a.cpp", "#include <curl/curl.h>", "cli may not include <curl/curl.h>", 1)
        self.assert_violation("src/cli/a.cpp", "#include <zmq/zmq.hpp>",
                              "<zmq/zmq.hpp> is not in the table of third-party headers", 1)

    def test_reports_dependencies_of_cmake(self):
        cmake = "src/model/CMakeLists.txt"
        files = {"src/model/spec.cpp": "", cmake: "woolly_library(model SOURCES spec.cpp\n  DEPENDS base exec CLI11::CLI11)"}
        self.assertEqual(check(files), (1, [f"{cmake}: model (layer 3) may not use exec (layer 6)",
                                            f"{cmake}: model may not link CLI11::CLI11"]))

    def test_reports_that_there_is_nothing_to_check(self):
        status, lines = check({})
        self.assertEqual((status, len(lines)), (1, 1))


if __name__ == "__main__":
    unittest.main()
