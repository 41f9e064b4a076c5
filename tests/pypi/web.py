"""Protocols, clients, servers and pages."""

from right import gives


@gives("https://a.example/b?q=x+y")
def requests():
    from requests import Request

    return Request("GET", "https://a.example/b", params={"q": "x y"}).prepare().url


@gives({"path": "/x", "q": "1"})
def httpx():
    import httpx

    def answer(request):
        return httpx.Response(200, json={"path": request.url.path, **request.url.params})

    with httpx.Client(transport=httpx.MockTransport(answer)) as client:
        return client.get("https://a.example/x?q=1").json()


@gives((b"GET", b"/a", [(b"host", b"x")]))
def h11():
    import h11

    connection = h11.Connection(h11.SERVER)
    connection.receive_data(b"GET /a HTTP/1.1\r\nHost: x\r\n\r\n")
    event = connection.next_event()
    return event.method, event.target, list(event.headers)


@gives([b"/a"])
def h2():
    from h2.config import H2Configuration
    from h2.connection import H2Connection
    from h2.events import RequestReceived

    client, server = H2Connection(), H2Connection(H2Configuration(client_side=False))
    client.initiate_connection()
    request = {":method": "GET", ":path": "/a", ":scheme": "https", ":authority": "a.example"}
    client.send_headers(1, list(request.items()), end_stream=True)
    events = server.receive_data(client.data_to_send())
    return [bytes(dict(e.headers)[b":path"]) for e in events if isinstance(e, RequestReceived)]


@gives("/chat")
def wsproto():
    from wsproto import ConnectionType, WSConnection
    from wsproto.events import Request

    client, server = WSConnection(ConnectionType.CLIENT), WSConnection(ConnectionType.SERVER)
    server.receive_data(client.send(Request(host="a.example", target="/chat")))
    return next(server.events()).target


@gives(("a.example", 8443, "/p", 2))
def urllib3():
    from urllib3.exceptions import ProtocolError
    from urllib3.util import Retry, parse_url

    url = parse_url("https://u@A.example:8443/p?q#f")
    left = Retry(total=3).increment("GET", "/", error=ProtocolError())
    return url.host, url.port, url.path, left.total


@gives((b"xn--mnchen-3ya.de", "münchen.de"))
def idna():
    import idna

    return idna.encode("münchen.de"), idna.decode("xn--mnchen-3ya.de")


@gives(True)
def certifi():
    import certifi

    with open(certifi.where(), encoding="ascii", errors="ignore") as file:
        return file.read().count("-----BEGIN CERTIFICATE-----") > 50


@gives("https://a.example/b/c%20d?q=1")
def yarl():
    from yarl import URL

    return str(URL("https://a.example/b/").joinpath("c d") % {"q": "1"})


@gives(("200 OK", b"<b>hi, &lt;ada&gt;</b>"))
def bottle():
    from wsgiref.util import setup_testing_defaults

    from bottle import Bottle, template

    application, told = Bottle(), []

    @application.get("/hi/<name>")
    def hi(name):
        return template("<b>hi, {{name}}</b>", name=f"<{name}>")

    environ = {"PATH_INFO": "/hi/ada"}
    setup_testing_defaults(environ)
    body = b"".join(application(environ, lambda status, headers, *_: told.append(status)))
    return told[0], body


@gives({"hello": "ada"})
def starlette():
    import asyncio

    import httpx
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    async def hello(request):
        return JSONResponse({"hello": request.path_params["name"]})

    async def ask():
        application = Starlette(routes=[Route("/hello/{name}", hello)])
        transport = httpx.ASGITransport(app=application)
        async with httpx.AsyncClient(transport=transport, base_url="http://inside") as client:
            return (await client.get("/hello/ada")).json()

    return asyncio.run(ask())


@gives(([1, {"a": 2}], "Signature b'xx' does not match"))
def itsdangerous():
    from itsdangerous import BadSignature, URLSafeSerializer

    serializer = URLSafeSerializer("key")
    text = serializer.dumps([1, {"a": 2}])
    try:
        serializer.loads(text.rsplit(".", 1)[0] + ".xx")
    except BadSignature as error:
        return serializer.loads(text), str(error)


@gives({"sub": "1234567890", "name": "John Doe", "iat": 1516239022})
def pyjwt():
    import jwt

    # The token that everybody knows.
    token = (
        "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9."
        "eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4gRG9lIiwiaWF0IjoxNTE2MjM5MDIyfQ."
        "SflKxwRJSMeKKF2QT4fwpMeJf36POk6yJV_adQssw5c"
    )
    return jwt.decode(token, "your-256-bit-secret", algorithms=["HS256"])


@gives(
    "https://a.example/auth?response_type=code&client_id=id"
    "&redirect_uri=https%3A%2F%2Fb.example%2Fback&scope=x+y&state=s"
)
def oauthlib():
    from oauthlib.oauth2 import WebApplicationClient

    client = WebApplicationClient("id")
    back = "https://b.example/back"
    return client.prepare_request_uri("https://a.example/auth", back, scope=["x", "y"], state="s")


@gives(("1", b'{"a":1}', "application/json"))
def webob():
    from webob import Request, Response

    answer = Response(json={"a": 1})
    return Request.blank("/a?b=1").GET["b"], answer.body, answer.content_type


@gives((["one", "2"], "<ul><li>one</li><li>2</li></ul>"))
def beautifulsoup4():
    from bs4 import BeautifulSoup

    soup = BeautifulSoup("<ul><li>1</li><li>2</li></ul>", "html.parser")
    soup.li.string = "one"
    return [item.text for item in soup.select("ul > li")], str(soup)


@gives(["yes"])
def soupsieve():
    import soupsieve
    from bs4 import BeautifulSoup

    soup = BeautifulSoup("<p id=yes><b>x</b></p><p id=no>y</p>", "html.parser")
    return [found["id"] for found in soupsieve.select("p:has(> b)", soup)]


@gives(["a", "b"])
def html5lib():
    import html5lib

    tree = html5lib.parse("<p>a<p>b", namespaceHTMLElements=False)
    return [found.text for found in tree.findall(".//p")]


@gives(("#000080", "red", (255, 0, 0)))
def webcolors():
    import webcolors

    return webcolors.name_to_hex("navy"), webcolors.hex_to_name("#f00"), tuple(webcolors.name_to_rgb("red"))


@gives("descendant-or-self::ul/li[@id = 'x']")
def cssselect():
    from cssselect import GenericTranslator

    return GenericTranslator().css_to_xpath("ul > li#x")


@gives([("color", "red"), ("margin", "1px 2px")])
def tinycss2():
    import tinycss2

    found = tinycss2.parse_blocks_contents("color: red; margin: 1px 2px", skip_whitespace=True)
    return [(one.name, tinycss2.serialize(one.value).strip()) for one in found]


@gives("https://a.example/x/y?q=1")
def furl():
    from furl import furl

    return (furl("https://a.example/x").add({"q": "1"}) / "y").url


@gives((b"form-data", {b"name": b"file", b"filename": b"a.txt"}))
def python_multipart():
    from python_multipart.multipart import parse_options_header

    return parse_options_header('form-data; name="file"; filename="a.txt"')


@gives(("example.", "www.example. IN MX"))
def dnspython():
    import dns.message
    import dns.name

    query = dns.message.from_wire(dns.message.make_query("www.example", "MX").to_wire())
    return str(dns.name.from_text("www.example.").parent()), str(query.question[0])
