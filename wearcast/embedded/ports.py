"""Ports of the loopback interface, each given to one taker only."""

import socket
from typing import Final

HOST: Final = "127.0.0.1"


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that nobody uses, for a server to listen on: nobody else is given it while this process lives.

    A bound socket keeps it, so that no other process gets it before the server listens, or while it is restarted: the
    kernel gives a port that is bound neither to who asks for any port nor to a connection. The server can bind it all
    the same, as both set SO_REUSEADDR and only one of them listens (socket(7)), and until it does, connections are
    refused.
    """
    reserving = socket.socket(socket.AF_INET, kind)
    reserving.bind((HOST, 0))
    # Only now: a port that is chosen with this option set may be one that another process has reserved.
    reserving.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    port = int(reserving.getsockname()[1])
    reserving.detach()  # open until the process ends
    return port
