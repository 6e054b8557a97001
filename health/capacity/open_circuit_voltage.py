"""State of charge of a rested lithium-ion cell by its open-circuit voltage, per chemistry.

The tables are full-cell curves, positive minus negative electrode, worked out from the half-cell fits of
- nmc811: LG M50, NMC 811 against graphite-SiOx: C.-H. Chen et al., J. Electrochem. Soc. 167 (2020) 080534, with its
  stoichiometries (negative 0.0279 to 0.9014, positive 0.9084 to 0.2661), 2.5 to 4.2 V;
- nmc532: NMC 532 against graphite: P. Mohtat et al., J. Electrochem. Soc. 167 (2020) 110561, 3.0 to 4.2 V.

What a curve is worth depends on its slope: an error of 5 mV is half a point of charge where it rises by 10 mV a point.
The two curves differ by up to 15 points of charge at one voltage: a table holds for the cell it was measured on.
LFP (lithium iron phosphate) has none here: it rises by less than 1 mV a point between about 15 and 95 %.
"""

from typing import Final, Literal, get_args

Chemistry = Literal["nmc811", "nmc532", "lfp"]
CHEMISTRIES: Final[tuple[str, ...]] = get_args(Chemistry)

_SPREAD_V: Final = 0.03  # beyond the curve's ends: where chargers stop, resolution, offset of the sensor
_STEP: Final = 5.0  # percent of charge between two entries, from 0 to 100
_VOLTAGES: Final[dict[str, tuple[float, ...]]] = {  # V per cell
    "nmc811": (
        *(2.4977, 3.0728, 3.2577, 3.3961, 3.4493, 3.4942, 3.5483, 3.5971, 3.6343, 3.6682, 3.7078),
        *(3.7573, 3.8089, 3.8621, 3.9236, 3.9713, 4.0215, 4.0700, 4.0941, 4.1158, 4.1929),
    ),
    "nmc532": (
        *(2.9999, 3.4734, 3.5133, 3.5444, 3.5878, 3.6223, 3.6403, 3.6552, 3.6726, 3.6932, 3.7174),
        *(3.7467, 3.7993, 3.8418, 3.8815, 3.9248, 3.9719, 4.0228, 4.0775, 4.1364, 4.2000),
    ),
}


def has_curve(chemistry: Chemistry | None) -> bool:
    """Whether the voltage of a rested cell tells its charge."""
    return chemistry in _VOLTAGES


def open_circuit_voltage(chemistry: Chemistry, soc: float) -> float:
    """V of a rested cell at ``soc`` percent; beyond 0 and 100 that of the end."""
    voltages = _VOLTAGES[chemistry]
    position = min(max(soc, 0.0), 100.0) / _STEP
    index = min(int(position), len(voltages) - 2)
    return voltages[index] + (position - index) * (voltages[index + 1] - voltages[index])


def is_possible(chemistry: Chemistry, cell_voltage: float) -> bool:
    """Whether a rested cell of this kind can have that voltage, V."""
    voltages = _VOLTAGES[chemistry]
    return voltages[0] - _SPREAD_V <= cell_voltage <= voltages[-1] + _SPREAD_V


def charge_at_rest(chemistry: Chemistry, cell_voltage: float) -> tuple[float, float] | None:
    """State of charge in percent, and the slope of the curve there in V per percent; None outside the curve."""
    voltages = _VOLTAGES[chemistry]
    if not voltages[0] <= cell_voltage <= voltages[-1]:
        return None
    index = 0
    while voltages[index + 1] < cell_voltage:
        index += 1
    rise = voltages[index + 1] - voltages[index]
    return _STEP * (index + (cell_voltage - voltages[index]) / rise), rise / _STEP
