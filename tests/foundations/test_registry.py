import pytest

from interpolants.foundations.errors import InvalidInputError
from interpolants.foundations.registry import build
from interpolants.paths import Linear, ZeroEnvelope


@pytest.mark.parametrize("envelope", ["zero", {"kind": "zero"}, ZeroEnvelope()])
def test_an_envelope_is_an_id_a_table_or_an_object(envelope):
    assert build("path", "linear", envelope=envelope) == Linear(envelope=ZeroEnvelope())


def test_a_misspelt_envelope_names_the_nearest():
    with pytest.raises(
        InvalidInputError, match=r"there must be an envelope of this name, got 'zreo'. .*'zero'"
    ):
        build("path", "linear", envelope="zreo")
