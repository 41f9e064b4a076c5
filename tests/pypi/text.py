"""Text: marked up, parsed, formatted, put into words."""

from right import gives


@gives("<h1>a</h1>\n<p><em>b</em></p>")
def markdown():
    import markdown

    return markdown.markdown("# a\n\n*b*")


@gives("<p><strong>a</strong> &lt;b&gt;</p>\n")
def markdown_it_py():
    from markdown_it import MarkdownIt

    return MarkdownIt("commonmark", {"html": False}).render("**a** <b>")


@gives("<h1>a</h1>\n<ul>\n<li>b</li>\n</ul>\n")
def mistune():
    import mistune

    return mistune.html("# a\n\n* b\n")


@gives("<p><em>a</em> and <code>b</code></p>\n")
def docutils():
    from docutils.core import publish_parts

    return publish_parts("*a* and :code:`b`", writer="html5")["body"].replace(
        '<code class="docutils literal">', "<code>"
    ).replace('<code class="code docutils literal">', "<code>")


@gives('<span class="n">x</span> <span class="o">=</span> <span class="mi">1</span>\n')
def pygments():
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    return highlight("x = 1", get_lexer_by_name("python"), HtmlFormatter(nowrap=True)).replace(
        '<span class="w"> </span>', " "
    )


@gives("name      n\na         1\nb        22")
def tabulate():
    from tabulate import tabulate

    return tabulate([["a", 1], ["b", 22]], headers=["name", "n"], tablefmt="plain")


@gives("\x1b[1ma\x1b[0m\n┏━━━┓\n┃ k ┃\n┡━━━┩\n│ 1 │\n└───┘\n")
def rich():
    import io

    from rich.console import Console
    from rich.table import Table

    table = Table("k", header_style=None)
    table.add_row("1")
    console = Console(file=io.StringIO(), width=20, force_terminal=True, color_system="standard", _environ={})
    console.print("[bold]a[/bold]", table)
    return console.file.getvalue()


@gives("+---+----+\n| k | v  |\n+---+----+\n| a | 22 |\n+---+----+")
def prettytable():
    from prettytable import PrettyTable

    table = PrettyTable(["k", "v"])
    table.add_row(["a", 22])
    return table.get_string()


@gives((10, 2, 1))
def wcwidth():
    from wcwidth import wcswidth, wcwidth

    return wcswidth("コンニチハ"), wcwidth("漢"), wcwidth("a")


@gives(("1.5 MB", "1,234,567", "an hour", "3rd"))
def humanize():
    from datetime import timedelta

    import humanize

    hour = humanize.naturaldelta(timedelta(minutes=61))
    return humanize.naturalsize(1_500_000), humanize.intcomma(1234567), hour, humanize.ordinal(3)


@gives(("people", "device_type", "Some title"))
def inflection():
    import inflection

    return inflection.pluralize("person"), inflection.underscore("DeviceType"), inflection.humanize("some_title")


@gives("hollo-world-co")
def python_slugify():
    from slugify import slugify

    return slugify("Höllo, Wörld & Co.")


@gives("Moskva, Bei Jing ")
def unidecode():
    from unidecode import unidecode

    return unidecode("Москва, 北京")


@gives("<b>1</b><b>&lt;</b>")
def chevron():
    import chevron

    return chevron.render("{{#a}}<b>{{.}}</b>{{/a}}", {"a": [1, "<"]})


@gives(("SELECT a FROM b WHERE c=1", 2))
def sqlparse():
    import sqlparse

    upper = sqlparse.format("select a from b where c=1", keyword_case="upper")
    return upper, len(sqlparse.split("select 1; select ';'"))


@gives("SELECT COALESCE(a, 1) FROM b LIMIT 2")
def sqlglot():
    import sqlglot

    return sqlglot.transpile("SELECT TOP 2 ISNULL(a, 1) FROM b", read="tsql", write="postgres")[0]


@gives(14)
def lark():
    from lark import Lark, Transformer, v_args

    @v_args(inline=True)
    class Sum(Transformer):
        number = int

        def add(self, left, right):
            return left + right

        def multiply(self, left, right):
            return left * right

    grammar = """
        ?start: product | start "+" product -> add
        ?product: atom | product "*" atom -> multiply
        atom: INT -> number
        %import common.INT
        %ignore " "
    """
    return Lark(grammar, parser="lalr", transformer=Sum()).parse("2 + 3 * 4")


@gives([("NUMBER", 3), ("PLUS", "+"), ("NUMBER", 14)])
def ply():
    from ply import lex

    class Tokens:
        tokens = ("NUMBER", "PLUS")
        t_PLUS = r"\+"
        t_ignore = " "

        def t_NUMBER(self, token):
            r"\d+"
            token.value = int(token.value)
            return token

        def t_error(self, token):
            raise ValueError(token.value)

    lexer = lex.lex(module=Tokens())
    lexer.input("3 + 14")
    return [(token.type, token.value) for token in lexer]


@gives(["key", [1, -2, 3.5]])
def pyparsing():
    import pyparsing as pp

    value = pp.Word(pp.alphas) + pp.Suppress("=") + pp.Group(pp.DelimitedList(pp.common.number))
    return value.parse_string("key = 1, -2, 3.5").as_list()


@gives("✔ No problems")
def ftfy():
    import ftfy

    return ftfy.fix_text("âœ” No problems")


@gives(("👍 ok", ":thumbs_up: ok"))
def emoji():
    import emoji

    return emoji.emojize(":thumbs_up: ok"), emoji.demojize("👍 ok")


@gives(("1.234,50 €", "1. April 2007", ["one", "other"]))
def babel():
    from datetime import date

    from babel import Locale
    from babel.dates import format_date
    from babel.numbers import format_currency

    plural = Locale("en").plural_form
    money = format_currency(1234.5, "EUR", locale="de_DE").replace("\xa0", " ")
    return money, format_date(date(2007, 4, 1), "long", locale="de"), [plural(1), plural(2)]
