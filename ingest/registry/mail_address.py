"""What a mail can be addressed to."""

import re

# name@domain without quoting, comments, groups or display names: what people have. Python's header parser fails in
# many ways on the rest.
_ATOM = r"""[^\s@<>()\[\],;:"\\.?\x00-\x1f]+"""
_MAIL_ADDRESS = re.compile(rf"{_ATOM}(\.{_ATOM})*@[\w-]+(\.[\w-]+)*")


def is_mail_address(text: str) -> bool:
    """Whether a mail can be addressed to it."""
    return _MAIL_ADDRESS.fullmatch(text) is not None
