import pytest
from django.db import connection

from rl_training.models import PolicyStore
from rl_training.storage.backup import rows

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize("number", ["1e999", "9" * 5000], ids=["beyond floats", "of 5,000 digits"])
def test_config_with_number_that_python_cannot_hold_is_restored(policy, number):
    with connection.cursor() as cursor:
        cursor.execute("UPDATE rl_training_policystore SET ppo = %s", [f'{{"gamma": {number}}}'])
    lines = [*rows.dump(PolicyStore)]
    PolicyStore.objects.all().delete()
    rows.load(PolicyStore, [field.attname for field in rows.columns(PolicyStore)], lines)
    assert [*rows.dump(PolicyStore)] == lines
