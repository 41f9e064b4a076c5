"""The session of an instance: names that live from one piece of code to the next."""

import ast
import linecache
import sys
import types

from guest import chance, loop, report, values

_module = types.ModuleType("__main__")
_pieces = 0


def evaluate(code: str, name: str) -> str:
    """Runs `code`; the value of its last expression as JSON, or its repr as text if JSON would change it."""
    global _pieces
    chance.seed()
    _pieces += 1
    file = name or f"<input {_pieces}>"
    sys.modules["__main__"] = _module
    linecache.cache[file] = (len(code), None, code.splitlines(True), file)
    tree = ast.parse(code, file)
    flags = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    last = None
    if tree.body and isinstance(tree.body[-1], ast.Expr):
        last = compile(ast.Expression(tree.body.pop().value), file, "eval", flags, dont_inherit=True)
    _run(compile(tree, file, "exec", flags, dont_inherit=True))
    value = None if last is None else _run(last)
    return values.encode(value if values.is_json(value) else report.text(repr(value)))


def forget() -> None:
    """Forgets all names."""
    global _module, _pieces
    _module = types.ModuleType("__main__")
    _pieces = 0


def _run(code: types.CodeType):
    import inspect

    result = eval(code, _module.__dict__)
    # Code with a bare `await` is a coroutine.
    if code.co_flags & inspect.CO_COROUTINE:
        return loop.run(result)
    return result
