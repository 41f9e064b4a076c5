"""Command lines, versions, time, caches, tests, keys."""

from right import gives


@gives((0, "Hello ada!\nHello ada!\n", 2))
def click():
    import click
    from click.testing import CliRunner

    @click.command()
    @click.option("--times", type=int, default=1)
    @click.argument("name")
    def hello(times, name):
        for _ in range(times):
            click.echo(f"Hello {name}!")

    done = CliRunner().invoke(hello, ["--times", "2", "ada"])
    return done.exit_code, done.output, CliRunner().invoke(hello, ["--nope"]).exit_code


@gives((0, "ada is 36\n"))
def typer():
    import typer
    from typer.testing import CliRunner

    application = typer.Typer()

    @application.command()
    def tell(name: str, age: int = 36):
        typer.echo(f"{name} is {age}")

    done = CliRunner().invoke(application, ["ada"])
    return done.exit_code, done.output


@gives(([True, False], ["1.9", "1.10rc1", "1.10"], "a-b"))
def packaging():
    from packaging.specifiers import SpecifierSet
    from packaging.utils import canonicalize_name
    from packaging.version import Version

    wanted = SpecifierSet(">=1.2,<2")
    found = sorted(["1.10", "1.9", "1.10rc1"], key=Version)
    return [v in wanted for v in ("1.9.1", "2.0")], found, canonicalize_name("A._b")


@gives(("2.0.0", -1, True))
def semver():
    from semver import Version

    return str(Version.parse("1.2.3-rc.1").bump_major()), Version.parse("1.9.0").compare("1.10.0"), Version.parse("1.2.3").match(">=1.0.0")


@gives(("2024-03-31", "2024-02-29", [6, 13, 20]))
def python_dateutil():
    from datetime import date

    from dateutil.parser import parse
    from dateutil.relativedelta import relativedelta
    from dateutil.rrule import WEEKLY, rrule

    fridays = rrule(WEEKLY, count=3, dtstart=parse("2024-09-06"))
    month = date(2024, 1, 31) + relativedelta(months=1)
    return parse("31 March 2024").date().isoformat(), month.isoformat(), [d.day for d in fridays]


@gives("2024-07-01T14:00:00+02:00")
def pytz():
    from datetime import datetime

    import pytz

    noon = datetime(2024, 7, 1, 12, tzinfo=pytz.utc)
    return noon.astimezone(pytz.timezone("Europe/Berlin")).isoformat()


@gives("2024-01-01T07:00:00-05:00")
def tzdata():
    from datetime import UTC, datetime
    from zoneinfo import ZoneInfo

    return datetime(2024, 1, 1, 12, tzinfo=UTC).astimezone(ZoneInfo("America/New_York")).isoformat()


@gives(("2024-03-01", "2 hours ago", (2024, 9, 3)))
def arrow():
    import arrow

    day = arrow.get("2024-02-28")
    return day.shift(days=2).format("YYYY-MM-DD"), day.humanize(day.shift(hours=2)), tuple(day.isocalendar())


@gives({"who": "Ada", "n": 36})
def parse():
    from parse import parse

    return parse("{who} is {n:d}", "Ada is 36").named


@gives(([False, True], 55, 11))
def cachetools():
    from cachetools import LRUCache, cached

    recent, counts = LRUCache(2), []
    for key in "abac":
        recent[key] = recent.get(key, 0)

    @cached({})
    def fibonacci(n):
        counts.append(n)
        return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

    return ["b" in recent, "a" in recent], fibonacci(10), len(counts)


@gives(("ok", 3))
def tenacity():
    from tenacity import retry, stop_after_attempt, wait_none

    tries = []

    @retry(stop=stop_after_attempt(5), wait=wait_none())
    def sometimes():
        tries.append(1)
        if len(tries) < 3:
            raise OSError
        return "ok"

    return sometimes(), len(tries)


@gives([6, 5])
def pluggy():
    import pluggy

    specification, implementation = pluggy.HookspecMarker("x"), pluggy.HookimplMarker("x")

    class Specification:
        @specification
        def add(self, n):
            """Adds something."""

    class One:
        @implementation
        def add(self, n):
            return n + 1

    class Two:
        @implementation
        def add(self, n):
            return n + 2

    manager = pluggy.PluginManager("x")
    manager.add_hookspecs(Specification)
    manager.register(One())
    manager.register(Two())
    return manager.hook.add(n=4)


@gives((3, ["f"], "f"))
def wrapt():
    import wrapt

    seen = []

    @wrapt.decorator
    def told(wrapped, instance, arguments, named):
        seen.append(wrapped.__name__)
        return wrapped(*arguments, **named)

    @told
    def f(a, b):
        return a + b

    return f(1, 2), seen, f.__name__


@gives(((1, 2), "(a, b=2)"))
def decorator():
    import inspect

    from decorator import decorator

    @decorator
    def plain(function, *arguments, **named):
        return function(*arguments, **named)

    @plain
    def f(a, b=2):
        return a, b

    return f(1), str(inspect.signature(f))


@gives([("me", 1)])
def blinker():
    from blinker import Signal

    seen, signal = [], Signal()

    @signal.connect
    def hear(sender, n):
        seen.append((sender, n))

    signal.send("me", n=1)
    return seen


@gives(("gas", "MachineError"))
def transitions():
    from transitions import Machine, MachineError

    class Matter:
        pass

    matter = Matter()
    Machine(matter, states=["liquid", "gas"], transitions=[["boil", "liquid", "gas"]], initial="liquid")
    matter.boil()
    try:
        matter.boil()
    except MachineError as error:
        return matter.state, type(error).__name__


@gives([{"n": 1, "event": "hello", "log_level": "info"}])
def structlog():
    import structlog
    from structlog.testing import capture_logs

    with capture_logs() as logs:
        structlog.get_logger().info("hello", n=1)
    return logs


@gives((45, "100%|##########| 10/10"))
def tqdm():
    import io

    from tqdm import tqdm

    out = io.StringIO()
    total = sum(tqdm(range(10), file=out, ascii=True))
    return total, out.getvalue().split("\r")[-1].split(" [")[0].strip()


@gives(["a.py", "b/c.py"])
def pathspec():
    from pathspec import PathSpec

    spec = PathSpec.from_lines("gitwildmatch", ["*.py", "!test_*.py"])
    return sorted(spec.match_files(["a.py", "b/c.py", "b/test_d.py", "e.txt"]))


@gives({"A": "1", "B": "1 and more", "C": None})
def python_dotenv():
    import io

    from dotenv import dotenv_values

    return dict(dotenv_values(stream=io.StringIO("A=1\nB='${A} and more' # said\nC\n")))


@gives((["a"], True))
def typing_extensions():
    from typing_extensions import NotRequired, TypedDict, get_type_hints, is_typeddict

    class Item(TypedDict):
        a: NotRequired[int]

    return list(get_type_hints(Item)), is_typeddict(Item)


@gives(("str is not an instance of int", [2]))
def typeguard():
    from typeguard import TypeCheckError, check_type

    try:
        check_type("x", int)
    except TypeCheckError as error:
        return str(error), check_type([2], list[int])


@gives((1000, [0, 0, 11]))
def hypothesis():
    from hypothesis import find, settings
    from hypothesis import strategies as st

    quick = settings(database=None, max_examples=2000)
    number = find(st.integers(), lambda n: n >= 1000, settings=quick)
    numbers = find(st.lists(st.integers(0, 100), min_size=3), lambda found: sum(found) > 10, settings=quick)
    return number, sorted(numbers)


@gives(("2012-01-14T12:00:00", "2012-01-14"))
def freezegun():
    import datetime

    from freezegun import freeze_time

    with freeze_time("2012-01-14 12:00"):
        return datetime.datetime.now().isoformat(), datetime.date.today().isoformat()


@gives((True, True, 10))
def faker():
    from faker import Faker

    one, two = Faker("de_DE"), Faker("de_DE")
    one.seed_instance(7)
    two.seed_instance(7)
    return one.name() == two.name(), "@" in one.email(), len(one.date())


@gives([1, 1])
def schedule():
    import schedule

    seen = []
    schedule.every(10).seconds.do(lambda: seen.append(1))
    for _ in range(2):
        schedule.run_all()
    return seen


@gives("2024-01-31T09:30:00")
def croniter():
    from datetime import datetime

    from croniter import croniter

    return croniter("30 9 * * wed", datetime(2024, 1, 25)).get_next(datetime).isoformat()


@gives((["755224", "287082", "359152"], True))
def pyotp():
    import pyotp

    # The key and the codes of RFC 4226.
    codes = pyotp.HOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ")
    return [codes.at(n) for n in range(3)], codes.verify("359152", 2)


@gives((True, False, 64))
def ecdsa():
    from ecdsa import NIST256p, SigningKey
    from ecdsa.keys import BadSignatureError

    key = SigningKey.generate(curve=NIST256p)
    signature = key.sign(b"message")
    try:
        key.verifying_key.verify(signature, b"massage")
        other = True
    except BadSignatureError:
        other = False
    return key.verifying_key.verify(signature, b"message"), other, len(signature)


@gives((b"message", "SHA-256"))
def rsa():
    import rsa

    public, private = rsa.newkeys(512)
    signature = rsa.sign(b"m", private, "SHA-256")
    return rsa.decrypt(rsa.encrypt(b"message", public), private), rsa.verify(b"m", signature, public)


@gives((b"StV1DL6CwTryKyV", b"hello world"))
def base58():
    import base58

    return base58.b58encode(b"hello world"), base58.b58decode(b"StV1DL6CwTryKyV")


@gives((22, True))
def shortuuid():
    from uuid import UUID

    import shortuuid

    given = UUID("3b1f8b40-222c-4a6e-b77e-779d5a94e21c")
    text = shortuuid.encode(given)
    return len(text), shortuuid.decode(text) == given


@gives(("86Rf07", [1, 2, 3]))
def sqids():
    from sqids import Sqids

    return Sqids().encode([1, 2, 3]), Sqids().decode("86Rf07")


@gives(("laHquq", (1, 2, 3)))
def hashids():
    from hashids import Hashids

    salted = Hashids(salt="this is my salt")
    return salted.encode(1, 2, 3), salted.decode("laHquq")
