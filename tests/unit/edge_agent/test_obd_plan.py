from edge_agent.obd.plan import RatePlan


def test_all_is_due_at_first_and_then_by_its_period() -> None:
    plan = RatePlan([("fast", 1.0), ("slow", 10.0)])
    assert plan.due(100.0) == ["fast", "slow"]
    plan.done("fast", 100.0)
    plan.done("slow", 100.0)
    assert plan.due(100.5) == []
    assert plan.next_due() == 101.0
    assert plan.due(101.0) == ["fast"]
    assert plan.due(110.0) == ["fast", "slow"]


def test_a_late_read_is_not_caught_up() -> None:
    plan = RatePlan([("fast", 1.0)])
    plan.done("fast", 0.0)
    plan.done("fast", 7.5)
    assert plan.due(8.4) == []
    assert plan.due(8.5) == ["fast"]


def test_a_failed_read_may_come_sooner() -> None:
    plan = RatePlan([("slow", 86_400.0)])
    plan.done("slow", 0.0, again_s=60.0)
    assert plan.due(60.0) == ["slow"]


def test_an_empty_plan() -> None:
    assert RatePlan(()).due(0.0) == []
    assert RatePlan(()).next_due() is None
