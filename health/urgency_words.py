"""How a code's urgency reads, in English and Chinese: the level, why, and what to do.

The catalogue's advice knows the code alone; where the circumstances give another deadline, the level's advice stands.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from health.trouble_code_urgency import Level, Urgency
from telemetry.trouble_codes import Language, describe

Text = Mapping[Language, str]
_LEVELS: Final[Mapping[Level, Text]] = MappingProxyType(
    {
        "drive_on": {"en": "Drive on", "zh": "可继续行驶"},
        "soon": {"en": "See to it soon", "zh": "尽快检修"},
        "stop": {"en": "Stop", "zh": "请停车"},
    }
)
_REASONS: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "kind_info": {"en": "a fault of this kind can wait", "zh": "此类故障可以等待"},
        "kind_soon": {"en": "a fault of this kind has some days", "zh": "此类故障可在数日内处理"},
        "kind_urgent": {"en": "a fault of this kind should not wait", "zh": "此类故障不宜拖延"},
        "kind_stop": {"en": "a fault of this kind does harm while you drive", "zh": "此类故障继续行驶会造成损害"},
        "lamp_flashing": {"en": "the engine light flashes", "zh": "发动机故障灯闪烁"},
        "overheated": {
            "en": "the coolant had {value:.0f} °C when the fault came up",
            "zh": "故障出现时冷却液温度为 {value:.0f} °C",
        },
        "under_load": {
            "en": "the engine ran at {value:.0f} % load when the fault came up",
            "zh": "故障出现时发动机负荷为 {value:.0f}%",
        },
        "at_speed": {
            "en": "the car drove {value:.0f} km/h when the fault came up",
            "zh": "故障出现时车速为 {value:.0f} km/h",
        },
        "pending": {"en": "the car has seen it once and not confirmed it yet", "zh": "车辆仅检测到一次，尚未确认"},
        "permanent": {
            "en": "the fault seems gone, the car has not yet tested it long enough",
            "zh": "故障似已消失，但车辆尚未完成验证",
        },
        "not_this_time": {"en": "it has not come up since the car was started", "zh": "本次启动后未再出现"},
        "repeated": {
            "en": "it came up on {value:.0f} days of the last 30",
            "zh": "最近 30 天内有 {value:.0f} 天出现",
        },
        "unlisted": {"en": "only the group of this code is known", "zh": "仅知该故障码所属的类别"},
    }
)
# Keyed by severity: what to do where the circumstances say more, or less, than the code alone.
_ADVICE: Final[Mapping[str, Text]] = MappingProxyType(
    {
        "info": {
            "en": "You can drive on; the car checks it again. If it stays, you will be told.",
            "zh": "可以继续行驶，车辆会再次自检。若故障持续，将另行通知。",
        },
        "soon": {
            "en": "You can drive on gently. Have it looked at within {days} days.",
            "zh": "可以平稳行驶。请在 {days} 天内检查。",
        },
        "urgent": {
            "en": "Avoid long trips and have it looked at within {days} days, at once if the car behaves differently.",
            "zh": "请避免长途行驶，并在 {days} 天内检查；若车辆表现异常请立即检查。",
        },
        "stop": {
            "en": "Stop as soon as it is safe and switch off. Have the car looked at before driving on.",
            "zh": "请尽快安全停车并熄火，检修后再行驶。",
        },
    }
)


def level_text(level: Level, language: Language) -> str:
    """The level as an owner reads it, without full stop."""
    return _LEVELS[level][language]


def reason_texts(judged: Urgency, language: Language) -> tuple[str, ...]:
    """Why, one phrase each, without capital and full stop."""
    return tuple(_REASONS[reason.word][language].format(value=reason.value) for reason in judged.reasons)


def why_text(judged: Urgency, language: Language) -> str:
    """All reasons in one phrase."""
    return ("；" if language == "zh" else "; ").join(reason_texts(judged, language))


def advice_text(code: str, judged: Urgency, language: Language) -> str:
    """What to do: the catalogue's advice where it means the same haste, else that of the level."""
    told = describe(code, language)
    if told.severity == judged.severity:
        return told.advice
    text = _ADVICE[judged.severity][language].format(days=judged.days_to_act)
    return text.replace("1 days", "one day") if judged.days_to_act == 1 else text
