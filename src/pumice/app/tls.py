"""TLS that the API serves itself: ``[api] certificate`` and ``key``, read again by SIGHUP.

A proxy in front does as well; then these are left out, and ``[api] public_url`` says https. New connections
have the renewed certificate, those that are open go on with the old one.
"""

import ssl
from pathlib import Path

from pumice.app.settings import Settings
from pumice.model.errors import Misconfigured


def context(settings: Settings) -> ssl.SSLContext | None:
    """What connections are made with; None where plain HTTP is served. Raises ``Misconfigured``."""
    _check_authority(settings.api.cacert)
    if settings.api.certificate is None:
        if settings.api.key is not None:
            raise Misconfigured("[api] key is given without a certificate: give both, or neither.")
        return None
    if (url := settings.api.public_url) and not url.startswith("https://"):
        raise Misconfigured(f"[api] public_url is {url}, and with a certificate only https is served.")
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    _read(made, settings)
    return made


def renew(living: ssl.SSLContext, settings: Settings) -> None:
    """Let connections that are made from now on have what the files hold. Raises ``Misconfigured``."""
    context(settings)  # half of a pair must not get into the one that serves
    _read(living, settings)


def authority(settings: Settings) -> Path | None:
    """The certificate authority that clients must trust, if it is not one that everybody knows."""
    api = settings.api
    if api.cacert is not None or api.certificate is None:
        return api.cacert
    from cryptography import x509  # not where nobody serves TLS

    leaf = x509.load_pem_x509_certificate(api.certificate.read_bytes())
    return api.certificate if leaf.issuer == leaf.subject else None


def _check_authority(file: Path | None) -> None:
    if file is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(file)
    except ssl.SSLError:
        raise Misconfigured(f"{file}, the [api] cacert, holds no certificates (PEM).") from None
    except OSError as error:
        raise Misconfigured(f"{file} of [api] cannot be read: {error.strerror}.") from None


def _read(into: ssl.SSLContext, settings: Settings) -> None:
    certificate, key = settings.api.certificate, settings.api.key
    assert certificate is not None
    for file in filter(None, (certificate, key)):
        try:
            file.read_bytes()
        except OSError as error:
            raise Misconfigured(f"{file} of [api] cannot be read: {error.strerror}.") from None
    try:
        into.load_cert_chain(certificate, key, password=_no_password)
    except (ssl.SSLError, _Locked) as error:
        why = (
            "the key has a password, which nobody here can give" if isinstance(error, _Locked) else error.reason
        )
        raise Misconfigured(
            f"[api] certificate and key cannot be used ({why or 'no PEM'}): they must be PEM files that belong "
            "together, the certificate first and those that vouch for it after it."
        ) from None


class _Locked(Exception):
    """The key is encrypted."""


def _no_password() -> str:
    raise _Locked
