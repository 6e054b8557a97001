"""What an owner reads, in the owner's language: pure. Times are the workshop's, and the owner's where they differ."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal
from zoneinfo import ZoneInfo

from rules.delivery.messages import Appointment, OwnerEvent, OwnerMessage

Language = Literal["en", "zh"]

_WEEKDAYS_EN = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_WEEKDAYS_ZH = ("星期一", "星期二", "星期三", "星期四", "星期五", "星期六", "星期日")
_MONTHS_EN = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
_JOBS: dict[str, tuple[str, str]] = {
    "oil_change": ("oil change", "更换机油"),
    "brake_pads": ("brake pads", "更换刹车片"),
    "battery_check": ("12 V battery check", "12V 蓄电池检查"),
    "traction_battery_check": ("traction battery check", "动力电池检查"),
    "tire_repair": ("tyre repair", "轮胎修理"),
    "diagnosis": ("diagnosis", "故障诊断"),
}
# What stands before the appointment, per event.
_LEADS: dict[OwnerEvent, tuple[str, str]] = {
    "alert": ("", ""),
    "raised": ("", ""),
    "proposed": ("This slot is held for you:", "已为您保留以下时段："),
    "confirmed": ("Your booking is confirmed:", "您的预约已确认："),
    "moved": ("Your booking was moved to:", "您的预约已改为："),
    "cancelled": ("This booking is cancelled:", "以下预约已取消："),
    "expired": ("This slot was held for you and has been given back:", "为您保留的以下时段已释放："),
    "completed": ("The workshop has done the work:", "维修厂已完成工作："),
}
_ACTIONS: dict[OwnerEvent, tuple[str, str]] = {
    "alert": ("See the car", "查看车辆"),
    "raised": ("See the car", "查看车辆"),
    "proposed": ("Confirm, choose another slot or decline", "确认、改期或拒绝"),
    "confirmed": ("Move or cancel", "改期或取消"),
    "moved": ("Move or cancel", "改期或取消"),
    "cancelled": ("Ask for a new slot", "重新预约"),
    "expired": ("Choose another slot", "选择其他时段"),
    "completed": ("See the booking", "查看预约"),
}


@dataclass(frozen=True, kw_only=True)
class Notice:
    """A message as it goes to one channel."""

    key: str  # idempotency key
    title: str
    text: str
    urgent: bool


def owner_notice(message: OwnerMessage, *, key: str, language: Language, time_zone: str, link: str) -> Notice:
    """Write the message in the owner's language; ``time_zone`` is the owner's, ``link`` leads to the portal."""
    chinese = language == "zh"
    title = message.title_zh if chinese else message.title_en
    parts = [message.text_zh if chinese else message.text_en]
    if message.event == "raised":
        parts.insert(0, "此前通知的问题现在更紧急：" if chinese else "What we told you of has become more urgent:")
    if message.appointment is not None:
        parts.append(f"{_LEADS[message.event][chinese]}\n{appointment_line(message.appointment, language, time_zone)}")
    if message.held_until is not None:
        until = moment(message.held_until, language, time_zone)
        parts.append(f"保留至{until}。" if chinese else f"It is held until {until}.")
    if message.alternatives:
        lines = [f"- {appointment_line(other, language, time_zone)}" for other in message.alternatives]
        parts.append("\n".join(["其他选择：" if chinese else "Other offers:", *lines]))
    if message.report:
        parts.append(f"维修报告：{message.report}" if chinese else f"Report: {message.report}")
    parts.append(f"{_ACTIONS[message.event][chinese]}{'：' if chinese else ': '}{link}")
    return Notice(
        key=key,
        title=f"{message.vehicle}：{title}" if chinese else f"{message.vehicle}: {title}",
        text="\n\n".join(parts),
        urgent=message.severity in ("urgent", "stop"),
    )


def moment(instant: datetime, language: Language, time_zone: str) -> str:
    """Write an instant as people of that language do, in that time zone (which is named)."""
    return f"{_day_and_time(instant, language, ZoneInfo(time_zone))} ({time_zone})"


def job_name(job: str, language: Language) -> str:
    """Name a workshop job; one that is not known here is shown as it is written."""
    names = _JOBS.get(job)
    return names[language == "zh"] if names else job.replace("_", " ")


def appointment_line(appointment: Appointment, language: Language, owner_time_zone: str) -> str:
    """Write an appointment or offer on one line."""
    chinese = language == "zh"
    there, here = ZoneInfo(appointment.time_zone), ZoneInfo(owner_time_zone)
    when = f"{_day_and_time(appointment.start, language, there)}–{appointment.end.astimezone(there):%H:%M}"
    when += f" ({appointment.time_zone})"
    if appointment.start.astimezone(there).utcoffset() != appointment.start.astimezone(here).utcoffset():
        own = _day_and_time(appointment.start, language, here)
        when += f" = 您当地时间 {own}" if chinese else f" = {own} your time"
    facts = [
        appointment.workshop,
        when,
        job_name(appointment.job, language),
        f"{appointment.price:.2f} {appointment.currency}",
    ]
    if appointment.distance_km is not None:
        facts.append(f"{appointment.distance_km:.1f} {'公里' if chinese else 'km'}")
    if appointment.rating is not None:
        facts.append(f"{'评分' if chinese else 'rated'} {appointment.rating:.1f}/5")
    return ("；" if chinese else "; ").join(facts)


def _day_and_time(instant: datetime, language: Language, zone: ZoneInfo) -> str:
    local = instant.astimezone(zone)
    if language == "zh":
        return f"{local.year}年{local.month}月{local.day}日 {_WEEKDAYS_ZH[local.weekday()]} {local:%H:%M}"
    day = f"{_WEEKDAYS_EN[local.weekday()]} {local.day} {_MONTHS_EN[local.month - 1]} {local.year}"
    return f"{day}, {local:%H:%M}"
