"""Packages that are native code: not for WebAssembly, but for isolation="jail"."""

from right import gives


@gives((10.0, [[19, 22], [43, 50]]))
def numpy():
    import numpy

    return float(numpy.arange(5).sum()), (numpy.array([[1, 2], [3, 4]]) @ numpy.array([[5, 6], [7, 8]])).tolist()


@gives({"a": 4, "b": 2})
def pandas():
    import io

    import pandas

    return pandas.read_csv(io.StringIO("k,v\na,1\nb,2\na,3\n")).groupby("k").v.sum().to_dict()


@gives(({"n": 1, "tags": ["x"]}, "int_parsing"))
def pydantic():
    from pydantic import BaseModel, ValidationError

    class Item(BaseModel):
        n: int
        tags: list[str] = []

    try:
        Item(n="x")
    except ValidationError as error:
        return Item(n="1", tags=["x"]).model_dump(), error.errors()[0]["type"]


@gives((["1", "2"], b"<a><b>1</b><b>2</b></a>"))
def lxml():
    from lxml import etree

    tree = etree.fromstring("<a><b>1</b><b>2</b></a>")
    return tree.xpath("//b/text()"), etree.tostring(tree)


@gives((b'{"a":[1,null]}', {"a": 1.5}))
def orjson():
    import orjson

    return orjson.dumps({"a": [1, None]}), orjson.loads('{"a":1.5}')


@gives(b"message")
def cryptography():
    from cryptography.fernet import Fernet

    key = Fernet(Fernet.generate_key())
    return key.decrypt(key.encrypt(b"message"))


@gives(((2, 1), (255, 0, 0)))
def pillow():
    import io

    from PIL import Image

    file = io.BytesIO()
    Image.new("RGB", (2, 1), "red").save(file, "PNG")
    image = Image.open(file)
    return image.size, image.getpixel((0, 0))
