"""Data: checked, converted, stored, in the formats that people exchange."""

from right import gives


@gives(("Point(x=1, y=2)", True, "int"))
def attrs():
    import attrs

    @attrs.frozen
    class Point:
        x: int = attrs.field(validator=attrs.validators.instance_of(int))
        y: int = 2

    try:
        Point("1")
    except TypeError as error:
        return repr(Point(1)).rsplit(".", 1)[-1], Point(1) == Point(1, 2), error.args[2].__name__


@gives(({"name": "a", "sizes": [1, 2]}, [1, 2]))
def cattrs():
    import attrs
    import cattrs

    @attrs.define
    class Item:
        name: str
        sizes: list[int]

    item = cattrs.structure({"name": "a", "sizes": ["1", 2]}, Item)
    return cattrs.unstructure(item), item.sizes


@gives(({"n": 1}, {"n": ["Not a valid integer."], "of": ["Missing data for required field."]}))
def marshmallow():
    from marshmallow import Schema, ValidationError, fields

    class Item(Schema):
        n = fields.Int()
        of = fields.Str(required=True)

    try:
        Item().load({"n": "x"})
    except ValidationError as error:
        return Item(partial=True).load({"n": "1"}), error.messages


@gives(["'x' is not of type 'integer'", "-1 is less than the minimum of 0"])
def jsonschema():
    from jsonschema import Draft7Validator

    check = Draft7Validator({"items": {"type": "integer", "minimum": 0}})
    return [error.message for error in check.iter_errors([1, "x", -1])]


@gives(({"a": 1, "b": 2}, "data.a must be integer"))
def fastjsonschema():
    import fastjsonschema

    check = fastjsonschema.compile({"properties": {"a": {"type": "integer"}, "b": {"default": 2}}})
    try:
        check({"a": "x"})
    except fastjsonschema.JsonSchemaException as error:
        return check({"a": 1}), error.message


@gives(({"n": 3}, "expected int for dictionary value @ data['n']"))
def voluptuous():
    from voluptuous import Coerce, Invalid, Required, Schema

    schema = Schema({Required("n"): Coerce(int)})
    try:
        schema({"n": "x"})
    except Invalid as error:
        return schema({"n": "3"}), str(error)


@gives((False, {"n": ["must be of integer type"]}))
def cerberus():
    from cerberus import Validator

    check = Validator({"n": {"type": "integer"}})
    return check.validate({"n": "x"}), check.errors


@gives({"a": {"b": [1, 2.5]}})
def tomli():
    import tomli

    return tomli.loads("[a]\nb = [1, 2.5]\n")


@gives("[a]\nb = 2 # kept\n")
def tomlkit():
    import tomlkit

    document = tomlkit.parse("[a]\nb = 1 # kept\n")
    document["a"]["b"] = 2
    return tomlkit.dumps(document)


@gives('x = "y"\n\n[a]\nb = true\n')
def tomli_w():
    import tomli_w

    return tomli_w.dumps({"x": "y", "a": {"b": True}})


@gives("a: 1 # kept\nb:\n- 3\n")
def ruamel_yaml():
    import io

    from ruamel.yaml import YAML

    yaml, out = YAML(), io.StringIO()
    document = yaml.load("a: 1 # kept\nb:\n- 2\n")
    document["b"][0] = 3
    yaml.dump(document, out)
    return out.getvalue()


@gives(({"a": {"@x": "1", "b": ["2", None]}}, "<a><b>1</b></a>"))
def xmltodict():
    import xmltodict

    found = xmltodict.parse('<a x="1"><b>2</b><b/></a>')
    return found, xmltodict.unparse({"a": {"b": "1"}}, full_document=False)


@gives(["a", "c"])
def jmespath():
    import jmespath

    return jmespath.search("items[?n > `1`].id", {"items": [{"id": i, "n": n} for i, n in (("a", 2), ("b", 1), ("c", 3))]})


@gives([1, 2])
def jsonpath_ng():
    from jsonpath_ng import parse

    return [found.value for found in parse("$.a[*].b").find({"a": [{"b": 1}, {"b": 2}]})]


@gives(([{"op": "replace", "path": "/a", "value": 2}], {"a": [1]}))
def jsonpatch():
    import jsonpatch

    added = jsonpatch.apply_patch({"a": []}, [{"op": "add", "path": "/a/0", "value": 1}])
    return jsonpatch.make_patch({"a": 1}, {"a": 2}).patch, added


@gives({"values_changed": {"root['a'][1]": {"new_value": 3, "old_value": 2}}})
def deepdiff():
    from deepdiff import DeepDiff

    return DeepDiff({"a": [1, 2]}, {"a": [1, 3]}).to_dict()


@gives(["x", "y"])
def glom():
    from glom import glom

    return glom({"a": {"b": [{"c": "x"}, {"c": "y"}]}}, ("a.b", ["c"]))


@gives(([1, 2], [1, 2, 3], {"a": {"b": 2}}))
def pyrsistent():
    from pyrsistent import freeze, pvector, thaw

    first = pvector([1, 2])
    changed = freeze({"a": {"b": 1}}).transform(["a", "b"], lambda n: n + 1)
    return list(first), list(first.append(3)), thaw(changed)


@gives([{"n": 2}])
def tinydb():
    from tinydb import TinyDB, where

    with TinyDB("/tmp/tiny.json") as database:
        database.insert_multiple({"n": n} for n in range(3))
    with TinyDB("/tmp/tiny.json") as database:
        return [dict(found) for found in database.search(where("n") > 1)]


@gives((42, "=A1*2", ["Sheet"]))
def openpyxl():
    from openpyxl import Workbook, load_workbook

    book = Workbook()
    book.active["A1"], book.active["B1"] = 42, "=A1*2"
    book.save("/tmp/book.xlsx")
    read = load_workbook("/tmp/book.xlsx")
    return read.active["A1"].value, read.active["B1"].value, read.sheetnames


@gives(("prices", 1.5))
def xlsxwriter():
    import openpyxl
    import xlsxwriter

    with xlsxwriter.Workbook("/tmp/written.xlsx") as book:
        sheet = book.add_worksheet("prices")
        sheet.write("B2", 1.5, book.add_format({"bold": True}))
    read = openpyxl.load_workbook("/tmp/written.xlsx")
    return read.sheetnames[0], read["prices"]["B2"].value


@gives((2, 200.0, "of a test"))
def pypdf():
    import io

    from pypdf import PdfReader, PdfWriter

    writer, file = PdfWriter(), io.BytesIO()
    for _ in range(2):
        writer.add_blank_page(width=200, height=100)
    writer.add_metadata({"/Title": "of a test"})
    writer.write(file)
    reader = PdfReader(file)
    return len(reader.pages), float(reader.pages[0].mediabox.width), reader.metadata.title


@gives((b"\x30\x06\x02\x01\x0c\x04\x01a", 12))
def pyasn1():
    from pyasn1.codec.der import decoder, encoder
    from pyasn1.type import univ

    both = univ.Sequence()
    both[0], both[1] = univ.Integer(12), univ.OctetString(b"a")
    data = encoder.encode(both)
    return data, int(decoder.decode(data)[0][0])


@gives((258, [1, 2], b"\x00\x01\x02\x07\x08"))
def construct():
    from construct import Byte, Int16ub, PrefixedArray, Struct

    format = Struct("n" / Int16ub, "all" / PrefixedArray(Byte, Byte))
    found = format.parse(b"\x01\x02\x02\x01\x02")
    return found.n, list(found.all), format.build({"n": 1, "all": [7, 8]})


@gives(('{"n":1.10}', "Infinity"))
def simplejson():
    from decimal import Decimal

    import simplejson

    return simplejson.dumps({"n": Decimal("1.10")}, separators=(",", ":")), simplejson.dumps(float("inf"), allow_nan=True)


@gives((b"\xa1aa\x82\x01\x02", {"a": [1, 2]}))
def cbor2():
    import cbor2

    data = cbor2.dumps({"a": [1, 2]})
    return data, cbor2.loads(data)


@gives((b"\x08\x05", 5, {"a": [1.0, None]}))
def protobuf():
    from google.protobuf.json_format import MessageToDict, ParseDict
    from google.protobuf.struct_pb2 import Struct
    from google.protobuf.timestamp_pb2 import Timestamp

    data = Timestamp(seconds=5).SerializeToString()
    return data, Timestamp.FromString(data).seconds, MessageToDict(ParseDict({"a": [1, None]}, Struct()))
