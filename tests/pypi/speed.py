"""Packages that bring native code to be faster, and have a path without it."""

from right import gives


@gives("Ada (2), Grace (1)")
def jinja2():
    from jinja2 import Environment

    page = Environment().from_string("{% for n, s in all %}{{ n }} ({{ s }}){{ ', ' if not loop.last }}{% endfor %}")
    return page.render(all=[("Ada", 2), ("Grace", 1)])


@gives("<b>&lt;i&gt; &amp; &#39;</b>")
def markupsafe():
    from markupsafe import Markup

    return str(Markup("<b>%s</b>") % "<i> & '")


@gives(({"a": [1, 2.5, None], "b": "x"}, "a:\n- 1\nb: 'yes'\n"))
def pyyaml():
    import yaml

    return yaml.safe_load("a: [1, 2.5, null]\nb: x\n"), yaml.safe_dump({"a": [1], "b": "yes"})


@gives((200, {"hello": "ada"}, 404))
def flask():
    from flask import Flask, jsonify

    application = Flask("x")

    @application.get("/hello/<name>")
    def hello(name):
        return jsonify(hello=name)

    client = application.test_client()
    answer = client.get("/hello/ada")
    return answer.status_code, answer.json, client.get("/nope").status_code


@gives(([("Ada", 2)], 3))
def sqlalchemy():
    from sqlalchemy import String, create_engine, func, select
    from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

    class Base(DeclarativeBase):
        pass

    class Guest(Base):
        __tablename__ = "guest"
        name: Mapped[str] = mapped_column(String(30), primary_key=True)
        seats: Mapped[int]

    engine = create_engine("sqlite:////tmp/guests.db")
    Base.metadata.create_all(engine)
    with Session(engine) as session:
        session.add_all([Guest(name="Ada", seats=2), Guest(name="Grace", seats=1)])
        session.commit()
        many = session.execute(select(Guest.name, Guest.seats).where(Guest.seats > 1)).all()
        return [tuple(row) for row in many], session.scalar(select(func.sum(Guest.seats)))


@gives((b"\x81\xa1a\x92\x01\xc0", {"a": [1, None]}))
def msgpack():
    import msgpack

    data = msgpack.packb({"a": [1, None]})
    return data, msgpack.unpackb(data)


@gives("1;2;\n")
def mako():
    from mako.template import Template

    return Template("% for n in all:\n${n};\\\n% endfor\n\n").render(all=[1, 2])


@gives((3, "apple", 1.0))
def rapidfuzz():
    from rapidfuzz import fuzz, process
    from rapidfuzz.distance import Levenshtein

    best = process.extractOne("aple", ["apple", "orange"], scorer=fuzz.ratio)
    return Levenshtein.distance("kitten", "sitting"), best[0], Levenshtein.normalized_similarity("a", "a")


@gives(("hello", True))
def websockets():
    from websockets.frames import Frame, Opcode
    from websockets.streams import StreamReader

    data, reader = Frame(Opcode.TEXT, b"hello").serialize(mask=True), StreamReader()
    reader.feed_data(data)
    parser = Frame.parse(reader.read_exact, mask=True)
    try:
        while True:
            next(parser)
    except StopIteration as end:
        return end.value.data.decode(), end.value.fin


@gives((True, ["greet"]))
def zope_interface():
    from zope.interface import Interface, implementer
    from zope.interface.verify import verifyObject

    class Greeter(Interface):
        def greet(name):
            """Says hello."""

    @implementer(Greeter)
    class Polite:
        def greet(self, name):
            return f"hello {name}"

    return verifyObject(Greeter, Polite()), list(Greeter.names())
