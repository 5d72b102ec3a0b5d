#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""awaitctl submit -f: one document, an array, one per line; what happens at an error."""
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TestCase, main


def timer(n):
    return {"kind": "timer", "sleep": 0, "value": n}


class SubmitFile(TestCase):
    def setUp(self):
        self.d = self.daemon()
        self.c = self.client(self.d)

    def submit(self, text, *options, name="-"):
        if name != "-":
            with open(os.path.join(self.d.home, name), "w", encoding="utf-8") as f:
                f.write(text)
            text = None
        return self.d.ctl(*options, "submit", "-f", name, stdin=text)

    def assert_values(self, r, values):
        """One id per line, in input order."""
        self.assertEqual(r.status, 0, r)
        ids = [int(line) for line in r.lines]
        self.assertEqual(len(ids), len(values), r)
        self.assertEqual(ids, sorted(set(ids)), "ids rise")
        for start in range(0, len(ids), 1000):
            jobs = self.c.wait(*ids[start:start + 1000])
            self.assertEqual([j["result"] for j in jobs], values[start:start + 1000])

    def test_one_document(self):
        self.assert_values(self.submit(json.dumps(timer(7))), [7])

    def test_one_document_over_several_lines(self):
        self.assert_values(self.submit(json.dumps(timer(7), indent=4)), [7])

    def test_a_file(self):
        self.assert_values(self.submit(json.dumps(timer(8)), name="job.json"), [8])

    def test_an_array(self):
        self.assert_values(self.submit(json.dumps([timer(n) for n in range(5)])), list(range(5)))

    def test_an_array_over_several_lines(self):
        self.assert_values(self.submit(json.dumps([timer(n) for n in range(5)], indent=1)),
                           list(range(5)))

    def test_one_per_line(self):
        text = "".join(json.dumps(timer(n)) + "\n" for n in range(5))
        self.assert_values(self.submit(text), list(range(5)))

    def test_no_newline_at_the_end_and_blank_lines(self):
        text = json.dumps(timer(0)) + "\n\n" + json.dumps(timer(1))
        self.assert_values(self.submit(text), [0, 1])

    def test_more_than_fits_into_one_request(self):
        text = "".join(json.dumps({**timer(n), "name": "n" * 200}) + "\n" for n in range(12000))
        self.assert_values(self.submit(text), list(range(12000)))

    def test_an_empty_array(self):
        r = self.submit("[]")
        self.assertEqual((r.status in (0, 2, 4), r.out), (True, ""), r)
        self.assertEqual(self.c.list_all(), [])

    def test_needs_name_earlier_documents_only(self):
        for places in (["@2"], ["@5"], [{"job": "@2", "on": "done"}]):
            with self.subTest(places):
                docs = [timer(0), timer(1), {**timer(2), "needs": places}, timer(3)]
                r = self.submit(json.dumps(docs))
                self.assertEqual(r.status, 4, r)
                self.assertIn("document 3", r.err)
                self.assertIn("earlier", r.err)
                self.assertEqual(len(r.lines), 2, "those before it stay")

    def test_needs_reach_across_requests(self):
        """A chain over more documents than one request takes; "@N" counts in the file."""
        n = 1300
        docs = [timer(0)] + [{**timer(i), "needs": [f"@{i - 1}"]} for i in range(1, n)]
        docs[700]["needs"] = ["@3", {"job": "@699", "on": "done"}]
        docs.append({"kind": "sequence", "needs": ["@5"], "jobs": [
            {**timer("${v5:}"), "needs": [{"job": "@650"}, f"@{n - 1}"]}]})
        docs[5]["name"] = "v5"
        for form in ("lines", "array"):
            with self.subTest(form):
                text = json.dumps(docs) if form == "array" else \
                    "".join(json.dumps(d) + "\n" for d in docs)
                r = self.submit(text)
                self.assert_values(r, [*range(n), 5])
                ids = [int(line) for line in r.lines]
                self.assertEqual(self.needs(ids[1299]), [(ids[1298], "success")])
                self.assertEqual(self.needs(ids[700]), [(ids[3], "success"), (ids[699], "done")])
                part = self.c.get(ids[n])["children"][0]
                self.assertEqual(self.needs(part), [(ids[650], "success"), (ids[1299], "success")])

    def test_needs_with_keys_are_the_same_each_time(self):
        """How a file is cut into requests, and what stands before, does not change a document."""
        def docs(first):
            return [{**timer(i), "key": f"k{i}", **({"needs": [f"@{first + i // 2}"]} if i else {})}
                    for i in range(20)]
        once = self.submit("".join(json.dumps(d) + "\n" for d in docs(0)))
        self.assertEqual(once.status, 0, once)
        again = self.submit(json.dumps([timer(i) for i in range(7)] + docs(7)))
        self.assertEqual((again.status, again.lines[7:]), (0, once.lines), again)

    def needs(self, number):
        return [(need["job"], need["on"]) for need in self.c.get(number)["needs"]]

    def test_bad_line_stops_and_is_named(self):
        lines = [json.dumps(timer(n)) for n in range(6)]
        lines[3] = json.dumps({"kind": "timer", "sleep": 0, "colour": "red"})
        r = self.submit("\n".join(lines) + "\n")
        self.assertEqual(r.status, 4, r)
        self.assertRegex(r.err, r"\b4\b", "the line is named")
        self.assertIn("colour", r.err)
        self.assertEqual(len(r.lines), len(self.c.list_all()), "earlier ids stay, no others")

    def test_line_that_is_no_json_is_named(self):
        r = self.submit(json.dumps(timer(0)) + "\n" + json.dumps(timer(1)) + "\n{nonsense\n")
        self.assertNotEqual(r.status, 0, r)
        self.assertIn(r.status, (2, 4), r)
        self.assertRegex(r.err, r"\b3\b", "the line is named")
        self.assertEqual(len(r.lines), len(self.c.list_all()))

    def test_array_with_a_bad_document_is_all_or_none(self):
        r = self.submit(json.dumps([timer(0), {"kind": "timer"}]))
        self.assertEqual(r.status, 4, r)
        self.assertEqual((r.out, self.c.list_all()), ("", []))

    def test_missing_file(self):
        r = self.d.ctl("submit", "-f", "not-there.json")
        self.assertNotEqual(r.status, 0, r)
        self.assertIn("not-there.json", r.err)

    def test_json(self):
        r = self.submit(json.dumps([timer(0), timer(1)]), "--json")
        self.assertEqual(r.status, 0, r)
        ids = [n for line in r.lines for n in json.loads(line)["ids"]]
        self.assertEqual([j["result"] for j in self.c.wait(*ids)], [0, 1])

    def test_relative_output_is_the_clients(self):
        """A document's own paths are the document's: relative ones are below the first root."""
        r = self.submit(json.dumps({"kind": "fetch", "url": "http://127.0.0.1:9/", "delay": 3600,
                                    "output": "x/y.bin"}))
        self.assertEqual(r.status, 0, r)
        spec = self.c.get(int(r.out))["spec"]
        self.assertEqual(spec["output"], os.path.join(self.d.home, "x/y.bin"))
        self.c.call("job.cancel", {"ids": [int(r.out)]})


if __name__ == "__main__":
    main()
