"""HTTP messages as bytes: RFC 9292, the way HTTP travels inside records.

A binary message is control data (method, scheme, authority and path, or a status), header fields,
content and trailer fields, each behind its length. Lengths and numbers are QUIC's variable-length
integers. A message of *known length* says the length of each part; one of *indeterminate length*
ends each part with a zero. Parts that are empty may be left out at the end (*truncation*), and
zeros may follow (*padding*).

`encode` writes known-length messages, whole. `decode_request` and `decode_response` read both
kinds. They are strict where RFC 9292 leaves a choice: padding is checked, field values hold no
control characters but tabs, every pseudo-field is refused (no extension is known here), and counts
and sizes have limits. What `decode_request` accepts, RFC 9292 allows; what `encode` writes, both
decode to the same message.

Everything here is pure: no I/O, no state.
"""

from __future__ import annotations

from sage_native.binary_http.decoding import decode_request, decode_response
from sage_native.binary_http.encoding import encode
from sage_native.binary_http.messages import (
    Fields,
    Informational,
    Limits,
    Request,
    Response,
    field_values,
)

__all__ = [
    "Fields",
    "Informational",
    "Limits",
    "Request",
    "Response",
    "decode_request",
    "decode_response",
    "encode",
    "field_values",
]
