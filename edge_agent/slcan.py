"""python-can's slcan bus, made to outlive a damaged line: a serial line loses bytes, and then one frame is lost."""

from typing import Any

import can
from can.interfaces.slcan import slcanBus


class TolerantSlcanBus(slcanBus):
    """A line that is no frame is none.

    python-can 4.6 raises ValueError, IndexError or KeyError there; for bytes that are no text a CanOperationError that
    looks like a line that is gone.
    """

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        try:
            message, filtered = super()._recv_internal(timeout)
        except (ValueError, IndexError, KeyError):
            self._buffer.clear()
            return None, False
        except can.CanOperationError as error:
            if not isinstance(error.__cause__, UnicodeDecodeError):
                raise
            self._buffer.clear()
            return None, False
        if message is not None and not message.is_remote_frame and len(message.data) != message.dlc:
            return None, False  # bytes are missing
        return message, filtered

    def shutdown(self) -> None:
        """Close, also when the adapter has been pulled out: the close command then has nowhere to go."""
        try:
            super().shutdown()
        except can.CanError:
            _close_port(self.serialPortOrig)


def _close_port(port: Any) -> None:
    try:
        port.close()
    except OSError:
        return
