"""Sockets to serve on."""

import socket

BACKLOG = 2048
"""Connections that wait to be taken; the kernel's limit (``net.core.somaxconn``) may be lower."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens. Raises ``OSError`` when the address is taken.

    To bind alone would not do: with ``SO_REUSEADDR`` several processes may, and of those the later to listen is
    told nothing by uvloop, which closes its socket.
    """
    made = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        made.bind((host, port))
        made.listen(BACKLOG)
    except OSError:
        made.close()
        raise
    return made
