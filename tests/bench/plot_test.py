"""bench/plot draws what woolly bench writes: plot_test.py <bench/plot> <woolly>"""

import pathlib
import subprocess
import sys
import tempfile
import unittest
import xml.etree.ElementTree as xml

WOOLLY = sys.argv.pop(2)
PLOT = sys.argv.pop(1)
SVG = "{http://www.w3.org/2000/svg}"

KERNELS = """\
machine,version,weights,type,rows,k,columns,kernels,gops,spread,gbytes_per_second,ops_per_byte,ops_share,read_share,\
roof_gops,roof_gbytes_per_second,command
"P, 2 threads",0.1+abc,memory,Q4_K,64,256,1,avx2,71,0.01,20,3.55,0.1,0.5,700,40,woolly bench --kernels --cold
"P, 2 threads",0.1+abc,memory,Q4_K,64,256,8,avx2,350,0.01,12,28.4,0.5,0.3,700,40,woolly bench --kernels --cold
"P, 2 threads",0.1+abc,memory,F32,64,256,1,avx2,15,0.01,30,0.5,0.1,0.75,220,40,woolly bench --kernels --cold
"P, 2 threads",0.1+abc,memory,F32,64,256,1,OpenBLAS,10,0.01,20,0.5,,,,,woolly bench --kernels --cold
"""

MODELS = """\
machine,version,kernels,model,test,tokens_per_second,spread,roof_share,command,llama.cpp,llama.cpp ratio,"a, b",\
"a, b ratio"
"P, 2 threads",0.1+abc,avx2,m.gguf,pp512,200,0.01,0.6,woolly bench m.gguf --peer 'x=<y>',100,2,80,2.5
"P, 2 threads",0.1+abc,avx2,m.gguf,tg64,36,0.01,0.9,woolly bench m.gguf --peer 'x=<y>',40,0.9,,
"""


class Plot(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)

    def write(self, name, text):
        path = self.folder / name
        path.write_text(text, encoding="utf-8")
        return str(path)

    def plot(self, *arguments):
        done = subprocess.run([sys.executable, PLOT, *arguments], capture_output=True, text=True, check=False)
        return done.returncode, done.stdout, done.stderr

    def draw(self, *arguments):
        status, out, err = self.plot(*arguments)
        self.assertEqual((status, err), (0, ""))
        return xml.fromstring(out)

    def texts(self, svg):
        return [element.text for element in svg.iter(SVG + "text")]

    def test_roofline_has_a_line_for_each_type_below_the_roofs(self):
        svg = self.draw("roofline", self.write("kernels.csv", KERNELS))
        self.assertEqual(len(list(svg.iter(SVG + "polyline"))), 2)
        self.assertEqual(len(list(svg.iter(SVG + "circle"))), 3)
        texts = self.texts(svg)
        for text in ("Q4_K", "F32", "reads: 40.0 GB/s", "int8: 700 GOPS", "float32: 220 GOPS",
                     "P, 2 threads, woolly 0.1+abc", "woolly bench --kernels --cold"):
            self.assertIn(text, texts)
        roofs = [line for line in svg.iter(SVG + "line") if line.get("class") == "roof"]
        highest = min(float(line.get("y2")) for line in roofs)
        for circle in svg.iter(SVG + "circle"):
            self.assertGreater(float(circle.get("cy")), highest)

    def test_points_stand_where_the_axes_say(self):
        """The slope of the reads goes through each point that reads at the bandwidth."""
        at_roof = KERNELS.replace("71,0.01,20,3.55", "142,0.01,40,3.55")
        svg = self.draw("roofline", self.write("kernels.csv", at_roof))
        slope = next(line for line in svg.iter(SVG + "line") if line.get("class") == "roof")
        x1, y1, x2, y2 = (float(slope.get(name)) for name in ("x1", "y1", "x2", "y2"))
        circle = next(svg.iter(SVG + "circle"))
        x, y = float(circle.get("cx")), float(circle.get("cy"))
        self.assertAlmostEqual(y, y1 + (x - x1) * (y2 - y1) / (x2 - x1), delta=0.2)

    def test_roofline_takes_what_is_asked_for(self):
        path = self.write("kernels.csv", KERNELS)
        self.assertEqual(len(list(self.draw("roofline", path, "--types", "Q4_K").iter(SVG + "polyline"))), 1)
        status, out, err = self.plot("roofline", path, "--isa", "avx512")
        self.assertEqual((status, out), (1, ""))
        self.assertIn("--isa", err)

    def test_compare_has_a_bar_for_each_engine_and_tells_ratios(self):
        svg = self.draw("compare", self.write("models.csv", MODELS))
        bars = [rect for rect in svg.iter(SVG + "rect") if rect.get("class") in ("ours", "theirs")]
        self.assertEqual([bar.get("class") for bar in bars], ["ours", "theirs", "theirs", "ours", "theirs"])
        widths = [float(bar.get("width")) for bar in bars]
        self.assertAlmostEqual(widths[0], 2 * widths[1], delta=0.2)
        self.assertAlmostEqual(widths[3], 0.9 * widths[4], delta=0.2)
        texts = self.texts(svg)
        for text in ("m, pp512", "m, tg64", "a, b", "80 (ours: 2.50 times)", "40 (ours: 0.90 times)",
                     "woolly bench m.gguf --peer 'x=<y>'"):
            self.assertIn(text, texts)

    def test_compare_takes_kernels_beside_libraries(self):
        svg = self.draw("compare", self.write("kernels.csv", KERNELS))
        self.assertIn("F32 64x256, 1 column", self.texts(svg))
        self.assertIn("10 (ours: 1.50 times)", self.texts(svg))

    def test_writes_to_a_file(self):
        out = self.folder / "out.svg"
        self.assertEqual(self.plot("compare", self.write("models.csv", MODELS), "-o", str(out)), (0, "", ""))
        xml.parse(out)

    def test_reports_what_is_wrong_in_one_line(self):
        header, first = KERNELS.splitlines()[:2]
        cases = [
            ("", "no column machine"),
            ("a,b\n1,2\n", "no column machine"),
            (header + "\n", "no rows"),
            (header + "\n" + first + ",more\n", "line 2"),
            (header + "\nP\n", "line 2"),
            (KERNELS.replace(",71,", ",fast,"), '"fast" is not a number'),
            (KERNELS.replace(",71,", ",-71,"), "above 0"),
            (KERNELS.replace(",71,", ",nan,"), "above 0"),
            (KERNELS.replace("700,40", "700,0"), "above 0"),
            (KERNELS.replace("256,8,", "256,,"), 'columns: ""'),
        ]
        for text, message in cases:
            status, out, err = self.plot("roofline", self.write("bad.csv", text))
            self.assertEqual((status, out), (1, ""), text)
            self.assertRegex(err, r"\Aplot: error: .*\n\Z")
            self.assertIn(message, err)
        status, _, err = self.plot("compare", str(self.folder / "none.csv"))
        self.assertEqual(status, 1)
        self.assertIn("none.csv", err)

    def test_draws_what_woolly_writes(self):
        done = subprocess.run([WOOLLY, "bench", "--kernels", "--types", "Q8_0,F32", "--shapes", "64x256", "--columns",
                               "1,8", "-r", "1", "--csv"],
                              capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stderr)
        path = self.write("kernels.csv", done.stdout)
        self.assertEqual(len(list(self.draw("roofline", path).iter(SVG + "circle"))), 4)
        self.draw("compare", path)


if __name__ == "__main__":
    unittest.main()
