"""The `ssl` module: TLS is spoken by the host, outside the sandbox.

Certificates are checked against the host's roots. A guest can switch the check
off, as it can with OpenSSL; it cannot bring roots or certificates of its own.
"""

import enum
import os
import socket as _socket
import sys
import types


class TLSVersion(enum.IntEnum):
    MINIMUM_SUPPORTED = -2
    SSLv3 = 768
    TLSv1 = 769
    TLSv1_1 = 770
    TLSv1_2 = 771
    TLSv1_3 = 772
    MAXIMUM_SUPPORTED = -1


class VerifyMode(enum.IntEnum):
    CERT_NONE = 0
    CERT_OPTIONAL = 1
    CERT_REQUIRED = 2


class VerifyFlags(enum.IntFlag):
    VERIFY_DEFAULT = 0
    VERIFY_X509_STRICT = 0x20
    VERIFY_X509_TRUSTED_FIRST = 0x8000
    VERIFY_X509_PARTIAL_CHAIN = 0x80000


class Options(enum.IntFlag):
    OP_ALL = 0x80000050
    OP_NO_SSLv2 = 0
    OP_NO_SSLv3 = 0x2000000
    OP_NO_TLSv1 = 0x4000000
    OP_NO_TLSv1_1 = 0x10000000
    OP_NO_TLSv1_2 = 0x8000000
    OP_NO_TLSv1_3 = 0x20000000
    OP_NO_COMPRESSION = 0x20000
    OP_NO_TICKET = 0x4000
    OP_SINGLE_DH_USE = 0
    OP_SINGLE_ECDH_USE = 0
    OP_CIPHER_SERVER_PREFERENCE = 0x400000
    OP_ENABLE_MIDDLEBOX_COMPAT = 0x100000
    OP_IGNORE_UNEXPECTED_EOF = 0x80
    OP_LEGACY_SERVER_CONNECT = 0x4


class _Protocol(enum.IntEnum):
    PROTOCOL_SSLv23 = 2
    PROTOCOL_TLS = 2
    PROTOCOL_TLSv1 = 3
    PROTOCOL_TLSv1_1 = 4
    PROTOCOL_TLSv1_2 = 5
    PROTOCOL_TLS_CLIENT = 16
    PROTOCOL_TLS_SERVER = 17


class Purpose(enum.Enum):
    SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
    CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"


class SSLError(OSError):
    """TLS failed."""

    reason = None
    library = None


class SSLCertVerificationError(SSLError, ValueError):
    """The server's certificate is not what it must be."""

    verify_code = 1
    verify_message = "certificate verify failed"


_ERRORS = {
    name: type(name, (SSLError,), {})
    for name in ("SSLZeroReturnError", "SSLWantReadError", "SSLWantWriteError", "SSLSyscallError", "SSLEOFError")
}


class Handshake(bytes):
    """What the `ssl` module puts between the bytes of a connection, where TLS is to begin."""

    def __new__(cls, name, verify):
        mark = super().__new__(cls, b"TLS")
        mark.name, mark.verify = name, verify
        mark.error = None
        mark.is_over = False
        return mark


#: What is received when the host has ended its handshake, well or not.
SHAKEN = b"TLS"


class Secured:
    """What is known of a TLS connection that the host made."""

    server_side = False
    session = None
    session_reused = False

    def __init__(self, name, context=None):
        self.server_hostname = name.decode("ascii") if isinstance(name, bytes) else name
        self.context = context

    def getpeercert(self, binary_form=False):
        # The host has compared the certificate with the name.
        return b"" if binary_form else {"subjectAltName": (("DNS", self.server_hostname),)}

    def selected_alpn_protocol(self):
        return "http/1.1"

    def selected_npn_protocol(self):
        return None

    def version(self):
        return "TLSv1.3"

    def cipher(self):
        return ("TLS_AES_256_GCM_SHA384", "TLSv1.3", 256)

    def shared_ciphers(self):
        return None

    def compression(self):
        return None

    def get_channel_binding(self, cb_type="tls-unique"):
        return None


class SSLContext:
    """What a connection is to be made with: here, only whether the certificate is checked."""

    def __init__(self, protocol=None):
        self.protocol = protocol or _Protocol.PROTOCOL_TLS_CLIENT
        self._verify_mode = VerifyMode.CERT_REQUIRED
        self._check_hostname = True
        self.verify_flags = VerifyFlags.VERIFY_X509_TRUSTED_FIRST
        self.options = Options.OP_ALL
        self.minimum_version = TLSVersion.TLSv1_2
        self.maximum_version = TLSVersion.MAXIMUM_SUPPORTED
        self.post_handshake_auth = False
        self.keylog_filename = None
        self.hostname_checks_common_name = False
        self.sni_callback = None

    @property
    def verify_mode(self):
        return self._verify_mode

    @verify_mode.setter
    def verify_mode(self, mode):
        mode = VerifyMode(mode)
        if mode == VerifyMode.CERT_NONE and self._check_hostname:
            raise ValueError("Cannot set verify_mode to CERT_NONE when check_hostname is enabled.")
        self._verify_mode = mode

    @property
    def check_hostname(self):
        return self._check_hostname

    @check_hostname.setter
    def check_hostname(self, flag):
        self._check_hostname = bool(flag)
        if flag and self._verify_mode == VerifyMode.CERT_NONE:
            self._verify_mode = VerifyMode.CERT_REQUIRED

    def is_verifying(self):
        return self._verify_mode != VerifyMode.CERT_NONE

    def wrap_socket(self, sock, server_side=False, do_handshake_on_connect=True, suppress_ragged_eofs=True,
                    server_hostname=None, session=None):
        if server_side:
            raise SSLError(1, "a sandbox cannot listen")
        return sock.secure(server_hostname or sock.getpeername()[0], self.is_verifying(), self)

    def wrap_bio(self, incoming, outgoing, server_side=False, server_hostname=None, session=None):
        if server_side:
            raise SSLError(1, "a sandbox cannot listen")
        return SSLObject(incoming, outgoing, server_hostname, self)

    def load_cert_chain(self, certfile, keyfile=None, password=None):
        raise SSLError(1, "client certificates cannot be used: TLS is spoken by the host")

    def load_verify_locations(self, cafile=None, capath=None, cadata=None):
        """Accepted and not needed: the host's roots decide."""

    def load_default_certs(self, purpose=Purpose.SERVER_AUTH):
        """The host's roots always decide."""

    set_default_verify_paths = load_default_certs

    def set_ciphers(self, ciphers):
        """Accepted: the host chooses among modern ones."""

    def set_ciphersuites(self, ciphers):
        """Accepted: the host chooses among modern ones."""

    def set_ecdh_curve(self, curve):
        """Accepted: the host chooses among modern ones."""

    def get_ciphers(self):
        return []

    def set_alpn_protocols(self, protocols):
        """Accepted: HTTP/1.1 is what is spoken."""

    set_npn_protocols = set_alpn_protocols

    def get_ca_certs(self, binary_form=False):
        return []

    def cert_store_stats(self):
        return {"x509": 0, "crl": 0, "x509_ca": 0}


def create_default_context(purpose=Purpose.SERVER_AUTH, *, cafile=None, capath=None, cadata=None):
    """A context that checks certificates against the host's roots."""
    return SSLContext()


def _create_unverified_context(*args, **kwargs):
    context = SSLContext()
    context.check_hostname = False
    context.verify_mode = VerifyMode.CERT_NONE
    return context


class SSLSocket:
    """A socket that was made TLS is the same socket: `isinstance` is never true of it."""


class MemoryBIO:
    """Bytes on their way between an SSLObject and its connection."""

    def __init__(self):
        self._pieces = []
        self._at_end = False

    @property
    def pending(self):
        return sum(map(len, self._pieces))

    @property
    def eof(self):
        return self._at_end and not self._pieces

    def write(self, data):
        if data:
            # The mark of a handshake stays what it is.
            self._pieces.append(data if isinstance(data, Handshake) else bytes(data))
        return len(data)

    def write_eof(self):
        self._at_end = True

    def read(self, size=-1):
        if self._pieces and isinstance(self._pieces[0], Handshake):
            return self._pieces.pop(0)
        data = b"".join(self._pieces)
        data, kept = (data, b"") if size is None or size < 0 else (data[:size], data[size:])
        self._pieces = [kept] if kept else []
        return data


class SSLObject(Secured):
    """TLS over memory. What goes through the memory is plain: where the handshake would
    be there is a mark, and the connection that meets the mark has its host speak TLS."""

    def __init__(self, incoming, outgoing, server_hostname, context):
        super().__init__(server_hostname, context)
        self._incoming = incoming
        self._outgoing = outgoing
        self._mark = None

    def do_handshake(self):
        if self._mark is None:
            self._mark = Handshake(self.server_hostname, self.context.is_verifying())
            self._outgoing.write(self._mark)
        if not self._mark.is_over:
            raise _ERRORS["SSLWantReadError"](2, "the host has not ended its handshake yet")
        if self._incoming.pending:
            self._incoming.read(len(SHAKEN))
        if self._mark.error is not None:
            raise self._mark.error

    def read(self, size=1024, buffer=None):
        if not self._incoming.pending and not self._incoming.eof:
            raise _ERRORS["SSLWantReadError"](2, "no data is there yet")
        data = self._incoming.read(size)
        if buffer is None:
            return data
        buffer[: len(data)] = data
        return len(data)

    def write(self, data):
        return self._outgoing.write(bytes(data))

    def pending(self):
        return self._incoming.pending

    def unwrap(self):
        return None


def _no_certificate(*args, **kwargs):
    raise SSLError(1, "certificates are read by the host, outside the sandbox")


def install():
    """Puts it where `import ssl` finds it."""
    module = types.ModuleType("ssl", __doc__)
    here = globals()
    names = ("TLSVersion", "VerifyMode", "VerifyFlags", "Options", "Purpose", "SSLError", "SSLCertVerificationError",
             "SSLContext", "create_default_context", "_create_unverified_context", "SSLSocket", "SSLObject",
             "MemoryBIO")
    for name in names:
        setattr(module, name, here[name])
    for numbers in (VerifyMode, VerifyFlags, Options, _Protocol):
        for name, member in numbers.__members__.items():
            setattr(module, name, member)
    module.__dict__.update(
        _ERRORS,
        CertificateError=SSLCertVerificationError,
        _SSLMethod=_Protocol,
        SSLErrorNumber=int,
        _create_default_https_context=create_default_context, match_hostname=lambda certificate, name: None,
        get_server_certificate=_no_certificate, DER_cert_to_PEM_cert=_no_certificate,
        cert_time_to_seconds=_no_certificate, RAND_bytes=os.urandom, RAND_status=lambda: True,
        HAS_SNI=True, HAS_ALPN=True, HAS_NPN=False, HAS_ECDH=True, HAS_TLSv1=False, HAS_TLSv1_1=False,
        HAS_TLSv1_2=True, HAS_TLSv1_3=True, HAS_SSLv2=False, HAS_SSLv3=False, HAS_NEVER_CHECK_COMMON_NAME=True,
        OPENSSL_VERSION="rustls, outside the sandbox", OPENSSL_VERSION_INFO=(3, 0, 0, 0, 0),
        OPENSSL_VERSION_NUMBER=0x30000000, CHANNEL_BINDING_TYPES=[], PEM_HEADER="-----BEGIN CERTIFICATE-----",
        PEM_FOOTER="-----END CERTIFICATE-----", socket=_socket,
    )
    sys.modules["ssl"] = module
