"""What Hypothesis knows of a tick: `st.from_type(Tick)` gives any tick that the contract allows."""

from decimal import Decimal

from hypothesis import strategies as st

from finance_contract import Tick
from finance_contract.tick import COUNTS, EVENT_TIMES_NS, SOURCE, SYMBOL

_COUNT = st.none() | st.integers(COUNTS[0], COUNTS[-1])
_EVENT_TIME = st.none() | st.integers(EVENT_TIMES_NS[0], EVENT_TIMES_NS[-1])


def _within_the_contract(digits: int, exponent: int) -> Decimal:
    # Fewer digits the higher the exponent, so that every price stays below 10^10.
    return Decimal(f"{digits % 10 ** (10 - exponent) or 1}e{exponent}")


_PRICE = st.builds(_within_the_contract, st.integers(1, 10**18 - 1), st.integers(-8, 9))

st.register_type_strategy(
    Tick,
    st.builds(
        Tick,
        symbol=st.from_regex(SYMBOL, fullmatch=True),
        price=_PRICE,
        size=_COUNT,
        ts_event=_EVENT_TIME,
        seq=_COUNT,
        source=st.none() | st.from_regex(SOURCE, fullmatch=True),
    ),
)
