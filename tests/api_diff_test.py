#!/usr/bin/env python3
"""Tests api_diff.py on a small description."""

import copy
import sys
import unittest

sys.dont_write_bytecode = True
from api_diff import breaking  # noqa: E402

ROW = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer", "format": "int64"},
        "language": {"type": ["string", "null"]},
        "children": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}},
    },
}
ANSWER = {
    "headers": {"ETag": {}},
    "content": {
        "application/json": {
            "schema": {"type": "array", "items": {"$ref": "#/components/schemas/Row"}}
        }
    },
}
SIZE = {
    "in": "query",
    "name": "size",
    "required": False,
    "schema": {"type": "integer", "minimum": 1, "maximum": 9},
}
BY = {"in": "query", "name": "by", "required": False, "schema": {"enum": ["a", "b"]}}
LIST = {"operationId": "list", "parameters": [SIZE, BY], "responses": {"200": ANSWER}}
API = {"paths": {"/list": {"get": LIST}}, "components": {"schemas": {"Row": ROW}}}


class ApiDiff(unittest.TestCase):
    def check(self, expected, change):
        new = copy.deepcopy(API)
        operation = new["paths"]["/list"]["get"]
        change(new, operation, new["components"]["schemas"]["Row"])
        self.assertEqual([line.split(": ")[-1] for line in breaking(API, new)], expected)

    def test_additions_and_wider_parameters_break_nothing(self):
        def add(new, operation, row):
            new["paths"]["/other"] = {"get": operation}
            operation["parameters"].append({**BY, "name": "other"})
            operation["parameters"][0]["schema"]["maximum"] = 10
            operation["parameters"][1]["schema"]["enum"].append("c")
            operation["responses"]["404"] = {}
            row["properties"]["more"] = {"type": "string"}
            row["required"].append("language")

        self.check([], lambda *_: None)
        self.check([], add)

    def test_what_is_gone_breaks_clients(self):
        self.check(["GET /list is gone"], lambda new, *_: new["paths"].pop("/list"))
        self.check(["GET /list is gone"], lambda new, *_: new["paths"]["/list"].pop("get"))
        gone = ["the parameter by is gone"]
        self.check(gone, lambda _, operation, __: operation["parameters"].pop())
        self.check(["200 is gone"], lambda _, operation, __: operation["responses"].pop("200"))
        answer = ["200 has no ETag any more"]
        self.check(answer, lambda _, own, __: own["responses"]["200"]["headers"].clear())
        form = ["200 has no application/json any more"]
        self.check(form, lambda _, own, __: own["responses"]["200"]["content"].clear())
        field = ["200 application/json[].language is gone"]
        self.check(field, lambda _, __, row: row["properties"].pop("language"))

    def test_narrower_parameters_break_clients(self):
        def schema(at):
            return lambda operation: operation["parameters"][at]["schema"]

        size, by = schema(0), schema(1)
        narrower = ["the parameter size has a narrower maximum"]
        self.check(narrower, lambda _, own, __: size(own).update(maximum=8))
        higher = ["the parameter size has a narrower minimum"]
        self.check(higher, lambda _, own, __: size(own).update(minimum=2))
        fewer = ["the parameter by accepts fewer values"]
        self.check(fewer, lambda _, own, __: by(own).update(enum=["a"]))
        pattern = ["the parameter by has another pattern"]
        self.check(pattern, lambda _, own, __: by(own).update(pattern="^a$"))
        required = ["the parameter by is required now"]
        self.check(required, lambda _, own, __: own["parameters"][1].update(required=True))

    def test_other_types_of_fields_break_clients(self):
        at = "200 application/json[]"
        kind = [f"{at}.id was ['integer'] and is ['string']"]
        self.check(kind, lambda _, __, row: row["properties"]["id"].update(type="string"))
        null = [f"{at}.language was ['null', 'string'] and is ['string']"]
        self.check(null, lambda _, __, row: row["properties"]["language"].update(type="string"))
        self.check([f"{at}.id may be absent"], lambda _, __, row: row["required"].clear())


if __name__ == "__main__":
    unittest.main()
