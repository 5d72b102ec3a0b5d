# SPDX-License-Identifier: MIT
"""Values against the JSON Schemas of proto/schemas: the part of draft 7 that these use."""
import json
import os
import re

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "proto", "schemas")
TYPES = {"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None),
         "number": (int, float), "integer": int}
# Words that say nothing about a value.
REMARKS = {"$schema", "title", "description", "definitions"}


class Invalid(AssertionError):
    """The place in the value, and what is wrong there."""


def has_type(value, name):
    if isinstance(value, bool):
        return name == "boolean"
    return isinstance(value, TYPES[name])


def same(a, b):
    """As JSON has it: true is not 1."""
    return a == b and isinstance(a, bool) == isinstance(b, bool)


class Schemas:
    """All files, so that one may refer into another."""

    def __init__(self, files):
        self.files = files

    @classmethod
    def load(cls, folder=FOLDER):
        files = {}
        for name in os.listdir(folder):
            if name.endswith(".json"):
                with open(os.path.join(folder, name), encoding="utf-8") as f:
                    files[name] = json.load(f)
        return cls(files)

    def find(self, ref, file):
        """(the schema that @ref means in @file, the file it is in)"""
        name, _, pointer = ref.partition("#")
        file = name or file
        schema = self.files[file]
        for word in pointer.split("/")[1:]:
            schema = schema[word]
        return schema, file

    def check(self, value, ref, file=None):
        schema, file = self.find(ref, file)
        self.check_at(value, schema, file, "")

    def fits(self, value, schema, file, place):
        try:
            self.check_at(value, schema, file, place)
        except Invalid:
            return False
        return True

    def check_at(self, value, schema, file, place):
        if "$ref" in schema:  # nothing beside it counts
            target, file = self.find(schema["$ref"], file)
            self.check_at(value, target, file, place)
            return
        for word, wanted in schema.items():
            if word in REMARKS:
                continue
            check = getattr(self, "check_" + word, None)
            if check is None:
                raise LookupError(f"the schemas use {word}, which {__file__} does not know")
            if not check(value, wanted, schema, file, place):
                raise Invalid(f"{place or '/'}: {json.dumps(value)[:300]} against "
                              f"{word} {json.dumps(wanted)[:300]}")

    # One for each word; true if it holds. Words for one type hold for all others.

    def check_type(self, value, wanted, *_):
        return any(has_type(value, t) for t in (wanted if isinstance(wanted, list) else [wanted]))

    def check_enum(self, value, wanted, *_):
        return any(same(value, w) for w in wanted)

    def check_const(self, value, wanted, *_):
        return same(value, wanted)

    def check_minimum(self, value, wanted, *_):
        return not has_type(value, "number") or value >= wanted

    def check_maximum(self, value, wanted, *_):
        return not has_type(value, "number") or value <= wanted

    def check_minLength(self, value, wanted, *_):
        return not isinstance(value, str) or len(value) >= wanted

    def check_maxLength(self, value, wanted, *_):
        return not isinstance(value, str) or len(value) <= wanted

    def check_pattern(self, value, wanted, *_):
        return not isinstance(value, str) or re.search(wanted, value) is not None

    def check_minItems(self, value, wanted, *_):
        return not isinstance(value, list) or len(value) >= wanted

    def check_maxItems(self, value, wanted, *_):
        return not isinstance(value, list) or len(value) <= wanted

    def check_uniqueItems(self, value, wanted, *_):
        return not wanted or not isinstance(value, list) or len(set(map(str, value))) == len(value)

    def check_maxProperties(self, value, wanted, *_):
        return not isinstance(value, dict) or len(value) <= wanted

    def check_required(self, value, wanted, *_):
        return not isinstance(value, dict) or all(name in value for name in wanted)

    def check_items(self, value, wanted, _, file, place):
        for i, item in enumerate(value if isinstance(value, list) else ()):
            self.check_at(item, wanted, file, f"{place}/{i}")
        return True

    def check_properties(self, value, wanted, _, file, place):
        for name, schema in wanted.items():
            if isinstance(value, dict) and name in value:
                self.check_at(value[name], schema, file, f"{place}/{name}")
        return True

    def check_additionalProperties(self, value, wanted, schema, file, place):
        if not isinstance(value, dict):
            return True
        others = [n for n in value if n not in schema.get("properties", {})]
        if isinstance(wanted, bool):
            return wanted or not others
        for name in others:
            self.check_at(value[name], wanted, file, f"{place}/{name}")
        return True

    def check_allOf(self, value, wanted, _, file, place):
        for schema in wanted:
            self.check_at(value, schema, file, place)
        return True

    def check_anyOf(self, value, wanted, _, file, place):
        return any(self.fits(value, schema, file, place) for schema in wanted)

    def check_oneOf(self, value, wanted, _, file, place):
        return sum(self.fits(value, schema, file, place) for schema in wanted) == 1

    def check_not(self, value, wanted, _, file, place):
        return not self.fits(value, wanted, file, place)
