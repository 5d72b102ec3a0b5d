#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""The interface as machines read it: the OpenRPC document, and schemas that tell the truth."""
import os
import re
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "support"))
sys.dont_write_bytecode = True
from awaitd_test import TOP, RpcError, TestCase, main
from schema import Invalid, Schemas

DOCUMENT = "job-document.json#/definitions/JobDocument"
HEX = "0" * 64
GOOD = [
    {"kind": "timer", "sleep": 1},
    {"kind": "timer", "sleep": "1h 30min", "value": None, "tags": ["a", "b"], "priority": -1000,
     "delay": "1d", "name": "x", "grace": 0, "timeout": 0.5},
    {"kind": "timer", "sleep": 0, "at": "2031-05-06T07:08:09+02:00"},
    {"kind": "fetch", "url": "http://127.0.0.1:9/", "delay": "1h", "expect": 204,
     "headers": {"X-A": "b"}, "max_size": "10M", "checksum": "sha256:" + HEX},
    {"kind": "fetch", "url": "HTTPS://127.0.0.1:9/", "delay": "1h", "expect": ["200-299", 304],
     "on_lost": "fail", "method": "POST", "body": "x", "redirects": 0},
    {"kind": "worker", "argv": ["true"], "delay": "1h", "success": 3, "env": {"A": "b"},
     "cwd": "/", "stdin": "x", "queue": "worker"},
    {"kind": "worker", "argv": ["true"], "delay": "1h", "success": [0, 255], "on_lost": "retry"},
]
BAD = [
    {}, {"kind": "timer"}, {"kind": "nap", "sleep": 1}, {"kind": "timer", "sleep": -1},
    {"kind": "timer", "sleep": True}, {"kind": "timer", "sleep": 1, "argv": ["x"]},
    {"kind": "timer", "sleep": 1, "nmae": "x"}, {"kind": "timer", "sleep": 1, "name": "a\nb"},
    {"kind": "timer", "sleep": 1, "name": ""}, {"kind": "timer", "sleep": 1, "name": "x" * 256},
    {"kind": "timer", "sleep": 1, "tags": ["a", "a"]}, {"kind": "timer", "sleep": 1, "tags": "a"},
    {"kind": "timer", "sleep": 1, "priority": 1001}, {"kind": "timer", "sleep": 1, "queue": "x"},
    {"kind": "timer", "sleep": 1, "on_lost": "retry"},
    {"kind": "timer", "sleep": 1, "delay": 1, "at": "2031-05-06T07:08:09Z"},
    {"kind": "timer", "sleep": 1, "at": "2031-05-06T07:08:09"},
    {"kind": "timer", "sleep": 1, "name": None}, {"kind": "timer", "sleep": 1, "shield": True},
    {"kind": "fetch"}, {"kind": "fetch", "url": "ftp://127.0.0.1/"},
    {"kind": "fetch", "url": "http://127.0.0.1:9/", "checksum": "md5:" + HEX},
    {"kind": "fetch", "url": "http://127.0.0.1:9/", "expect": []},
    {"kind": "fetch", "url": "http://127.0.0.1:9/", "redirects": 101},
    {"kind": "fetch", "url": "http://127.0.0.1:9/", "headers": {"A": 1}},
    {"kind": "worker", "argv": []}, {"kind": "worker", "argv": "true"},
    {"kind": "worker", "argv": ["true"], "success": 256},
    {"kind": "worker", "argv": ["true"], "on_lost": "maybe"},
]


def references(value):
    if isinstance(value, list):
        for item in value:
            yield from references(item)
    elif isinstance(value, dict):
        for name, member in value.items():
            if name == "$ref":
                yield member
            else:
                yield from references(member)


class Discover(TestCase):
    def setUp(self):
        self.c = self.client(self.daemon())
        self.document = self.c.call("rpc.discover")

    def test_it_is_openrpc(self):
        doc = self.document
        self.assertRegex(doc["openrpc"], r"^1\.3\.\d+$")
        self.assertEqual(doc["info"]["version"], self.c.call("daemon.info")["version"])
        for method in doc["methods"]:
            self.assertTrue(method["summary"])
            self.assertEqual(method["paramStructure"], "by-name")
            self.assertEqual(set(method["result"]), {"name", "schema"})
            self.assertNotEqual(method["result"]["schema"], {}, method["name"])
            required = [p["required"] for p in method["params"]]
            self.assertEqual(required, sorted(required, reverse=True),
                             f"{method['name']}: OpenRPC has what is required first")
            for p in method["params"]:
                self.assertLessEqual({"name", "schema", "description"}, set(p))
        components = Schemas({"": doc})
        for ref in references(doc):
            components.find(ref, "")

    def test_it_has_the_methods_that_there_are(self):
        names = [m["name"] for m in self.document["methods"]]
        self.assertEqual(names, sorted(set(names)))
        with open(os.path.join(TOP, "proto", "PROTOCOL.md"), encoding="utf-8") as f:
            text = f.read()
        self.assertEqual(sorted(re.findall(r"^### ([a-z]+\.[a-z_]+)", text, re.M)), names,
                         "the methods that proto/PROTOCOL.md describes")
        for name in names:
            e = self.c.call_error(name, {"no_such": 1})
            self.assertEqual(e.code, -32602, name)
        self.assertEqual(self.c.call_error("job.new", {}).code, -32601)

    def test_parameters_are_those_that_are_taken(self):
        for method in self.document["methods"]:
            for p in method["params"]:
                if not p["required"] or "x-params-schema" in method:
                    continue
                e = self.c.call_error(method["name"], {})
                self.assertEqual((e.code, e.data["path"]), (-32602, "/" + p["name"]))
                break

    def test_errors_are_those_that_are_met(self):
        errors = self.document["components"]["errors"]
        self.assertEqual(errors["not_found"]["code"],
                         self.c.call_error("job.get", {"id": 99}).code)
        self.assertEqual(errors["params"]["code"], -32602)

    def test_documents(self):
        """What the schema takes the daemon takes, and what it refuses the daemon refuses."""
        schemas = Schemas.load()
        for document in GOOD:
            schemas.check(document, DOCUMENT)
            job = self.c.call("job.submit", document)
            schemas.check(job["spec"], DOCUMENT)
            self.c.call("job.cancel", {"ids": [job["id"]]})
        for document in BAD:
            with self.assertRaises(Invalid, msg=document):
                schemas.check(document, DOCUMENT)
            with self.assertRaises(RpcError, msg=document):
                self.c.call("job.submit", document)

    def test_the_schemas_are_part_of_it(self):
        """The same definitions, with what they refer to in the document itself."""
        components = self.document["components"]["schemas"]
        for name, schema in Schemas.load().files.items():
            for definition in schema.get("definitions", {}):
                self.assertIn(definition, components, name)
        Schemas({"": self.document}).check({"kind": "timer", "sleep": 1},
                                           "#/components/schemas/JobDocument", "")


if __name__ == "__main__":
    main()
