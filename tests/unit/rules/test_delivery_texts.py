"""What owners read: both languages, the time zones, the price, the link."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import get_args
from uuid import UUID

import pytest

from rules.delivery.messages import Appointment, OwnerEvent, OwnerMessage
from rules.delivery.texts import job_name, moment, owner_notice
from rules.rule import rulebook

START = datetime(2026, 3, 3, 7, 0, tzinfo=UTC)
LINK = "https://cars.example.org/offer/token"


def appointment(workshop: str = "Werk", distance_km: float | None = None) -> Appointment:
    return Appointment(
        workshop=workshop,
        time_zone="Europe/Berlin",
        start=START,
        end=START.replace(hour=8),
        price=Decimal("149.5"),
        currency="EUR",
        job="brake_pads",
        distance_km=distance_km,
        rating=None if distance_km is None else 4.5,
    )


def message(event: OwnerEvent = "proposed", severity: str = "soon") -> OwnerMessage:
    return OwnerMessage(
        event=event,
        alert_id=UUID(int=1),
        vehicle_id=UUID(int=2),
        vehicle="Blue Polo",
        severity=severity,
        title_en="Front left brake pad is worn",
        title_zh="左前刹车片已磨损",
        text_en="It has 8 % left.",
        text_zh="剩余 8%。",
        booking_id=UUID(int=3),
        appointment=appointment(),
        held_until=START.replace(hour=6),
        alternatives=(appointment("Fern", 22.24),),
    )


def test_a_proposal_in_english() -> None:
    notice = owner_notice(message(), key="k", language="en", time_zone="Europe/Berlin", link=LINK)
    assert notice.title == "Blue Polo: Front left brake pad is worn"
    assert notice.text == (
        "It has 8 % left.\n\n"
        "This slot is held for you:\n"
        "Werk; Tuesday 3 March 2026, 08:00–09:00 (Europe/Berlin); brake pads; 149.50 EUR\n\n"
        "It is held until Tuesday 3 March 2026, 07:00 (Europe/Berlin).\n\n"
        "Other offers:\n"
        "- Fern; Tuesday 3 March 2026, 08:00–09:00 (Europe/Berlin); brake pads; 149.50 EUR; 22.2 km; rated 4.5/5\n\n"
        f"Confirm, choose another slot or decline: {LINK}"
    )


def test_a_proposal_in_chinese() -> None:
    notice = owner_notice(message(), key="k", language="zh", time_zone="Asia/Shanghai", link=LINK)
    assert notice.title == "Blue Polo：左前刹车片已磨损"
    assert notice.text == (
        "剩余 8%。\n\n"
        "已为您保留以下时段：\n"
        "Werk；2026年3月3日 星期二 08:00–09:00 (Europe/Berlin) = 您当地时间 2026年3月3日 星期二 15:00；"
        "更换刹车片；149.50 EUR\n\n"
        "保留至2026年3月3日 星期二 14:00 (Asia/Shanghai)。\n\n"
        "其他选择：\n"
        "- Fern；2026年3月3日 星期二 08:00–09:00 (Europe/Berlin) = 您当地时间 2026年3月3日 星期二 15:00；"
        "更换刹车片；149.50 EUR；22.2 公里；评分 4.5/5\n\n"
        f"确认、改期或拒绝：{LINK}"
    )


def test_an_owner_elsewhere_reads_both_clocks() -> None:
    notice = owner_notice(message(), key="k", language="en", time_zone="America/New_York", link=LINK)
    assert "08:00–09:00 (Europe/Berlin) = Tuesday 3 March 2026, 02:00 your time" in notice.text


@pytest.mark.parametrize("event", get_args(OwnerEvent))
@pytest.mark.parametrize("language", ["en", "zh"])
def test_each_event_says_what_to_do_next(event: OwnerEvent, language: str) -> None:
    notice = owner_notice(
        message(event), key="k", language="zh" if language == "zh" else "en", time_zone="UTC", link=LINK
    )
    assert notice.text.endswith(LINK)


@pytest.mark.parametrize(("severity", "urgent"), [("info", False), ("soon", False), ("urgent", True), ("stop", True)])
def test_what_cannot_wait_is_marked(severity: str, *, urgent: bool) -> None:
    notice = owner_notice(message(severity=severity), key="k", language="en", time_zone="UTC", link=LINK)
    assert notice.urgent is urgent


def test_moments_name_their_zone() -> None:
    assert moment(START, "en", "Europe/Berlin") == "Tuesday 3 March 2026, 08:00 (Europe/Berlin)"


def test_every_job_of_the_rulebook_has_a_name_in_both_languages() -> None:
    jobs = {rule.job for rule in rulebook() if rule.job is not None}
    assert jobs
    for job in jobs:
        assert job_name(job, "zh") != job_name(job, "en")
    assert job_name("wheel_alignment", "en") == "wheel alignment"
