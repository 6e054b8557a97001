"""The port through which the agent saves power, and what stands in where there is nothing to save."""

from typing import Protocol

from edge_agent.sources.base import Reading


class Power(Protocol):
    """What the agent asks before it talks to the car or the broker."""

    @property
    def talks(self) -> bool:
        """Whether the car may be asked."""
        ...

    @property
    def sends(self) -> bool:
        """Whether the agent is to be connected to the broker."""
        ...

    @property
    def status(self) -> str | None:
        """What people are told while the agent rests; None while it works."""
        ...

    def heard(self, reading: Reading | None) -> None:
        """A poll is over; None: there was no source to poll."""
        ...

    def rest(self, seconds: float) -> Reading | None:
        """Watch the parked car for that time; a reading where there is one to keep."""
        ...

    def burst(self) -> tuple[Reading, ...]:
        """Voltages caught while the engine was cranked, oldest first; to be taken before a later reading is."""
        ...

    def close(self) -> None:
        """The agent ends: keep what is known."""
        ...


class AlwaysOn:
    """For a bench, a recording, a virtual car: nothing is saved."""

    talks = True
    sends = True
    status = None

    def heard(self, reading: Reading | None) -> None:
        """Nothing to learn."""

    def rest(self, seconds: float) -> Reading | None:
        """Never called: the car may always be asked."""
        raise NotImplementedError

    def burst(self) -> tuple[Reading, ...]:
        """Nothing watches the voltage."""
        return ()

    def close(self) -> None:
        """Nothing to keep."""
