"""Modules in C that WebAssembly cannot have: they import, and say so when they are used.

Many packages import one of them and never use it.
"""

import os
import sys
import types

_WHY = "is not available in a Wasm sandbox; the task option isolation=\"jail\" runs it in CPython"

# Not among them: `readline`, which the library itself can do without.
_MODULES = """
_bz2 _ctypes _curses _lzma _multiprocessing _posixshmem _ssl _tkinter _zstd _interpreters curses fcntl mmap
resource syslog termios tkinter tty pty
""".split()


class Unavailable(ImportError, NotImplementedError):
    """A part of the standard library that this sandbox does not have."""


def _refuse(what):
    def refuse(*args, **kwargs):
        raise Unavailable(f"{what} {_WHY}")

    refuse.__name__ = refuse.__qualname__ = what.rpartition(".")[2]
    return refuse


class _Stub(types.ModuleType):
    def __getattr__(self, name):
        if name.startswith("__"):
            raise AttributeError(name)
        raise Unavailable(f"{self.__name__}.{name} {_WHY}")


def _module(name, **members):
    stub = _Stub(name, f"{name} {_WHY}.")
    stub.__dict__.update(members)
    sys.modules[name] = stub
    return stub


def install():
    """Puts the stubs where the modules would be."""
    for name in _MODULES:
        if name not in sys.modules:
            try:
                __import__(name)
            except Exception:
                _module(name)
    _compressors()
    _ctypes()
    _fcntl()
    _accounts()


def _compressors():
    for name, names in {
        "bz2": ("open", "compress", "decompress", "BZ2File", "BZ2Compressor", "BZ2Decompressor"),
        "lzma": ("open", "compress", "decompress", "LZMAFile", "LZMACompressor", "LZMADecompressor"),
    }.items():
        members = {member: _refuse(f"{name}.{member}") for member in names}
        if name == "lzma":
            members.update(LZMAError=type("LZMAError", (Exception,), {}), FORMAT_XZ=1, FORMAT_ALONE=2, FORMAT_RAW=3,
                           CHECK_NONE=0, CHECK_CRC32=1, PRESET_DEFAULT=6)
        _module(name, **members)
    # It tries all that it can import until one can read the file.
    import tarfile

    methods = tarfile.TarFile.OPEN_METH
    tarfile.TarFile.OPEN_METH = {name: methods[name] for name in ("tar", "gz")}


def _fcntl():
    # Locks: there is nobody to lock against but the host, who is not asked.
    _module("fcntl", LOCK_SH=1, LOCK_EX=2, LOCK_NB=4, LOCK_UN=8, F_GETFD=1, F_SETFD=2, F_GETFL=3, F_SETFL=4,
            FD_CLOEXEC=1, flock=lambda fd, operation: None, lockf=lambda *args: None, fcntl=_refuse("fcntl.fcntl"),
            ioctl=_refuse("fcntl.ioctl"))


def _accounts():
    # There are no users: none is found, and who asks for itself is nobody.
    for name in ("getuid", "geteuid", "getgid", "getegid"):
        setattr(os, name, lambda: 65534)

    def unknown(what):
        def find(name, /):
            raise KeyError(f"{what}(): name or number not found: {name!r}")

        return find

    for name, functions in {"pwd": ("getpwnam", "getpwuid"), "grp": ("getgrnam", "getgrgid")}.items():
        everyone = {functions[0][:5] + "all": lambda: []}
        _module(name, **everyone, **{function: unknown(function) for function in functions})


class _Number:
    """A C number type: sized, so that packages can ask how wide a pointer is."""

    size = 4

    def __init__(self, value=0):
        self.value = value


_SIZES = {
    "c_bool": 1, "c_byte": 1, "c_char": 1, "c_char_p": 4, "c_double": 8, "c_float": 4, "c_int": 4, "c_int16": 2,
    "c_int32": 4, "c_int64": 8, "c_int8": 1, "c_long": 4, "c_longdouble": 16, "c_longlong": 8, "c_short": 2,
    "c_size_t": 4, "c_ssize_t": 4, "c_ubyte": 1, "c_uint": 4, "c_uint16": 2, "c_uint32": 4, "c_uint64": 8,
    "c_uint8": 1, "c_ulong": 4, "c_ulonglong": 8, "c_ushort": 2, "c_void_p": 4, "c_wchar": 4, "c_wchar_p": 4,
}


def _ctypes():
    numbers = {name: type(name, (_Number,), {"size": size}) for name, size in _SIZES.items()}
    refused = {name: _refuse(f"ctypes.{name}") for name in (
        "CDLL", "PyDLL", "CFUNCTYPE", "PYFUNCTYPE", "addressof", "cast", "create_string_buffer",
        "create_unicode_buffer", "memmove", "memset", "pointer", "string_at")}
    ctypes = _module("ctypes", **numbers, **refused, Array=type("Array", (), {}), Structure=type("Structure", (), {}),
                     Union=type("Union", (), {}), POINTER=lambda kind: kind, byref=lambda value: value,
                     sizeof=lambda kind: kind.size, py_object=object)
    ctypes.__path__ = []
    ctypes.util = _module("ctypes.util", find_library=lambda name: None, find_msvcrt=lambda: None)
    ctypes.wintypes = _module("ctypes.wintypes")
