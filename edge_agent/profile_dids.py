"""The maker's values of a profile, in the terms of the protocol code. No adapter and no bus here."""

from edge_agent.obd.did import DidDefinition, DidSignal
from firmware_profiles.profile import DidDefinition as ProfileDid
from firmware_profiles.profile import VehicleProfile


def profile_dids(profile: VehicleProfile) -> tuple[DidDefinition, ...]:
    """The maker's values of a profile as the protocol code takes them."""
    return tuple(protocol_did(definition) for definition in profile.dids)


def did_documents(profile: VehicleProfile) -> list[dict[str, object]]:
    """The maker's values of a profile as a garage file has them: a virtual car encodes by what the agent decodes by."""
    return [
        {
            "did": definition.did,
            "service": definition.service,
            **({} if definition.length is None else {"length": definition.length}),
            "request_id": definition.request_id,
            "response_id": definition.response_id,
            "period_s": definition.period_s,
            "signals": [
                {
                    "path": signal.path,
                    "bit_offset": signal.bit_offset,
                    "bit_length": signal.bit_length,
                    "scale": str(signal.scale),
                    "offset": str(signal.offset),
                    "signed": signal.signed,
                }
                for signal in definition.signals
            ],
        }
        for definition in profile_dids(profile)
    ]


def protocol_did(definition: ProfileDid) -> DidDefinition:
    """One of them."""
    return DidDefinition(
        did=definition.did,
        service=definition.service,
        length=definition.length,
        request_id=definition.request_id,
        response_id=definition.response_id,
        period_s=definition.period_s,
        signals=tuple(
            DidSignal(
                did=definition.did,
                path=signal.path,
                bit_offset=signal.bit_offset,
                bit_length=signal.bit_length,
                scale=signal.scale,
                offset=signal.offset,
                signed=signal.signed,
                absent=frozenset(signal.absent),
            )
            for signal in definition.signals
        ),
    )
