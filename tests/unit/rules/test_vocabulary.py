from rules.vocabulary import input_of, vocabulary


def test_each_variable_belongs_to_an_input_or_never_grows_old() -> None:
    names = vocabulary("wheel", limit=True)
    assert input_of("wheel.pad_wear.value") == "wheel.pad_wear"
    assert input_of("signal.speed") == "signal.speed"
    assert {name for name in names if input_of(name) is None} == {
        "limit",
        "wheel.name",
        "vehicle.profile",
        "vehicle.age_years",
    }
