"""The whole standard library, inside the image.

What most programs use is imported when the runtime is built. All the rest is kept
as code objects, so that an import needs no file system and no compiler.
"""

import importlib
import importlib.abc
import importlib.machinery
import marshal
import os
import sys

_PRELOAD = """
abc argparse array ast asyncio base64 binascii bisect calendar cmath codecs collections
collections.abc concurrent.futures configparser contextlib contextvars copy copyreg csv dataclasses datetime
decimal difflib email.message email.parser encodings.ascii encodings.idna encodings.latin_1 enum fnmatch
fractions functools glob graphlib gzip hashlib heapq hmac html html.parser http.client importlib.metadata
importlib.resources importlib.util inspect io ipaddress itertools json keyword linecache locale logging math
mimetypes numbers opcode operator os pathlib pickle pkgutil platform pprint queue random re reprlib secrets
select selectors shutil signal socket sqlite3 stat statistics string struct subprocess sys tempfile textwrap
threading time tokenize tomllib traceback types typing unicodedata urllib.parse urllib.request uuid warnings
weakref xml.etree.ElementTree zipfile zlib zoneinfo
""".split()

# What makes no sense without a screen, a compiler, processes or a network of its own.
_LEFT_OUT = {
    "__pycache__", "config-3.14-wasm32-wasi", "curses", "ensurepip", "idlelib", "lib2to3", "pydoc_data",
    "site-packages", "test", "tkinter", "turtle.py", "turtledemo", "venv",
}

# Modules that are imported already, and that packages load a second time to have a copy.
_COPIED = {"html.parser"}

#: Modules that are in the library and could not be imported or compiled when the runtime was built.
missing: dict[str, str] = {}
_frozen: dict[str, tuple[bool, bytes]] = {}


def preload() -> None:
    """Imports what most programs use."""
    for name in _PRELOAD:
        try:
            importlib.import_module(name)
        except Exception as error:
            missing[name] = repr(error)


def freeze() -> None:
    """Compiles all the rest, and lets it be imported."""
    library = Library()
    _collect("/python", "")
    sys.meta_path.append(library)
    for name in _COPIED:
        # The file that it came from is not in a sandbox.
        sys.modules[name].__spec__.loader = library


def _collect(folder: str, package: str) -> None:
    for entry in sorted(os.listdir(folder)):
        if entry in _LEFT_OUT:
            continue
        path = f"{folder}/{entry}"
        if entry.endswith(".py"):
            is_package = entry == "__init__.py"
            stem = entry[:-3]
            name = package if is_package else f"{package}.{stem}" if package else stem
            if not name or (name in sys.modules and name not in _COPIED):
                continue
            try:
                with open(path, "rb") as file:
                    source = file.read()
                code = compile(source, f"<python>{path[7:]}", "exec", dont_inherit=True, optimize=1)
            except Exception as error:
                missing[name] = repr(error)
                continue
            _frozen[name] = (is_package, marshal.dumps(code))
        elif "." not in entry and os.path.exists(f"{path}/__init__.py"):
            _collect(path, f"{package}.{entry}" if package else entry)


class Library(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds and loads the frozen modules."""

    def find_spec(self, name, path=None, target=None):
        entry = _frozen.get(name)
        if entry is None:
            return None
        return importlib.machinery.ModuleSpec(name, self, origin="<python>", is_package=entry[0])

    def create_module(self, spec):
        return None

    def exec_module(self, module):
        exec(marshal.loads(_frozen[module.__name__][1]), module.__dict__)
