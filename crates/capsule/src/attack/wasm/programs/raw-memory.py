import ctypes
import sys

from capsule import task

import probe


@task
def main():
    probe.refused("string_at", lambda: ctypes.string_at(0, 64))
    probe.refused("memmove", lambda: ctypes.memmove(0, b"x", 1))
    probe.refused("a library", lambda: ctypes.CDLL(None))
    probe.refused("cast", lambda: ctypes.cast(0, ctypes.POINTER(ctypes.c_char)))
    probe.refused("python's own", lambda: ctypes.pythonapi.Py_IncRef(0))
    probe.refused("mmap", lambda: __import__("mmap").mmap(-1, 4096))
    probe.refused("_ctypes", lambda: __import__("_ctypes").PyObj_FromPtr(0))
    probe.refused("threads", lambda: __import__("_thread").start_new_thread(print, ()))
    probe.refused("fork", lambda: __import__("os").fork())
    probe.refused("a process", lambda: __import__("subprocess").run(["sh", "-c", "id"]))
    probe.refused("system", lambda: [code for code in [__import__("os").system("id")] if code] or 1 / 0)
    probe.refused("exec", lambda: __import__("os").execv("/bin/sh", ["sh"]))
    probe.refused("a frame of the host", lambda: sys._getframe(1000))
    return probe.told()
