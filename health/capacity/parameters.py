"""What is told about a traction battery, in a profile's ``health:`` section."""

from dataclasses import dataclass
from functools import cached_property

from health.capacity.open_circuit_voltage import Chemistry, has_curve
from health.checks import require_between, require_positive


@dataclass(frozen=True, kw_only=True)
class TractionBatteryParameters:
    """Per battery. Without ``nominal_capacity_ah`` only the ECU's own figure is passed on.

    Some ECUs tell in its place what the aged pack holds; ``nominal_net_capacity_kwh`` makes a share of that.
    ``chemistry`` and ``cells_in_series`` let the rested voltage tell the state of charge: name a chemistry with a curve
    only where the car has the very cell; "lfp" says that its voltage is flat.
    """

    nominal_capacity_ah: float | None = None  # of the whole pack when new, by the definition SOH refers to
    nominal_net_capacity_kwh: float | None = None  # what the ECU tells of the pack when new
    chemistry: Chemistry | None = None
    cells_in_series: int | None = None
    min_window: float = 20.0  # SOC points a charge must span to be counted; a shorter one adds what little it tells
    min_charges: int = 3  # before anything is said
    soc_error: float = 2.8  # SOC points, standard deviation of one reading (300 EVs in daily use)
    charge_error: float = 0.005  # share of the nominal capacity, standard deviation of one counting
    systematic_error: float = 0.0075  # share, common to all charges: the gain of current sensors is off by 0.5 to 1 %
    memory_days: float = 60.0  # without effect: how fast a battery fades is learned; older profiles may have it
    max_gap_s: float = 120.0  # samples further apart end the counting
    discharges: bool = False  # also count while driving: only where current is sampled well above 1 Hz

    def __post_init__(self) -> None:
        if self.nominal_capacity_ah is not None:
            require_positive(nominal_capacity_ah=self.nominal_capacity_ah)
        if self.nominal_net_capacity_kwh is not None:
            require_positive(nominal_net_capacity_kwh=self.nominal_net_capacity_kwh)
        if self.cells_in_series is not None:
            require_positive(cells_in_series=self.cells_in_series)
        require_positive(
            min_charges=self.min_charges,
            soc_error=self.soc_error,
            charge_error=self.charge_error,
            memory_days=self.memory_days,
            max_gap_s=self.max_gap_s,
        )
        require_between(5, 100, min_window=self.min_window)
        require_between(0, 0.5, systematic_error=self.systematic_error)

    @cached_property
    def curve(self) -> tuple[Chemistry, int] | None:
        """Chemistry and cells in series where the rested voltage tells the state of charge."""
        if self.chemistry is None or self.cells_in_series is None or not has_curve(self.chemistry):
            return None
        return self.chemistry, self.cells_in_series
