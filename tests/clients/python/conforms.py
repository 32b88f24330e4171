"""Holds answers of an API against its OpenAPI description, by the packages that others wrote for that.

Reads {"document": …, "answers": [{"path", "method", "status", "kind", "body"}]} and prints every fault, one a line.
"""

import json
import sys

from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

HERE = "urn:api"


def main() -> None:
    given = json.load(sys.stdin)
    document = given["document"]
    for error in OpenAPIV31SpecValidator(document).iter_errors():
        print(f"the document: {error.message}")
    registry = Registry().with_resource(HERE, Resource.from_contents(document, default_specification=DRAFT202012))
    for answer in given["answers"]:
        for fault in faults(document, registry, answer):
            print(f"{answer['method']} {answer['path']} ({answer['status']}): {fault}")


def faults(document: dict, registry: Registry, answer: dict):
    responses = document["paths"][answer["path"]][answer["method"]]["responses"]
    response = responses.get(str(answer["status"]), responses.get("default"))
    if response is None:
        yield f"the status is not described: {sorted(responses)}"
        return
    kind = answer["kind"].split(";")[0]
    if kind not in response["content"]:
        yield f"{kind} is not described: {sorted(response['content'])}"
        return
    if kind.endswith("json"):
        schema = absolute(response["content"][kind]["schema"])
        for error in Draft202012Validator(schema, registry=registry).iter_errors(json.loads(answer["body"])):
            yield f"{error.json_path}: {error.message[:300]}"


def absolute(schema):
    """References count from the document."""
    if isinstance(schema, dict):
        return {key: HERE + value if key == "$ref" else absolute(value) for key, value in schema.items()}
    return [absolute(item) for item in schema] if isinstance(schema, list) else schema


main()
