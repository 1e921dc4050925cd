import hashlib
import json
import zlib

import pytest
from django.db import connection

from rl_training.models import TrainingRun
from rl_training.models.storage.packed_json import pack, unpack
from rl_training.models.storage.packing_words import WORDS
from tests.stored import finished_run

CURVE = {"episodes": {"x": [*range(1, 200)], "reward": [0.125] * 199}}

STORED = "78f931b950e3c34c1fc032029b5341ea8dc0d900d3a0d85a0067be1796"


def test_long_values_are_stored_in_a_fraction_of_their_text():
    assert len(pack(CURVE)) < 450
    assert unpack(pack(CURVE)) == CURVE


def test_values_packed_without_and_with_the_words_are_read():
    text = json.dumps(CURVE).encode()
    assert unpack(zlib.compress(text)) == unpack(text.decode()) == CURVE
    # Values that were stored with these words can be read with no others.
    assert hashlib.sha256(WORDS).hexdigest() == "8b39f8223308c23b3d6e443748f61ec6c37676baf312875412fdbb0d7a444397"
    assert unpack(bytes.fromhex(STORED)) == {
        "total_return": 0.25,
        "sharpe_interval": [-1.0, 2.0],
        "equity_curve": [1.0],
    }


@pytest.mark.parametrize("value", [None, [], {}, "x", [0.1]])
def test_short_values_are_stored_as_text(value):
    assert unpack(pack(value)) == value
    assert len(pack(value)) <= 5


@pytest.mark.django_db
def test_row_with_text_of_an_older_release_is_read(policy):
    run = finished_run(policy, curve=CURVE)
    assert TrainingRun.objects.get().curve == CURVE
    text = "'[0.5, 0.25]'" if connection.vendor == "sqlite" else r"'[0.5, 0.25]'::bytea"
    with connection.cursor() as cursor:
        cursor.execute(f"UPDATE rl_training_trainingrun SET episode_rewards = {text}, curve = NULL")
    run.refresh_from_db()
    assert (run.episode_rewards, run.curve) == ([0.5, 0.25], None)
