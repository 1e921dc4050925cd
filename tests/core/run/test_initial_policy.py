import pytest
import torch

from rl_training.core.run.checkpoint import load_policy
from rl_training.core.run.requirements import PolicyMismatchError, check_fits
from rl_training.core.run.training import train
from tests.core.run.small_run import CONFIG, MARKET, changed, same, stop_after


def test_training_continues_from_the_initial_policy(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    still = changed(CONFIG, ppo__learning_rate=1e-12, seed=9)
    result = train(still, MARKET, initial_policy=initial)
    before, after = whole.policy.tensors(), result.policy.tensors()
    for name, tensor in before.items():
        if name.startswith("network."):
            torch.testing.assert_close(after[name], tensor, rtol=0, atol=1e-8)
    assert before["observations.count"].item() == 480
    assert after["observations.count"].item() == 960
    assert train(still, MARKET).weights_digest != result.weights_digest


def test_a_checkpoint_with_another_initial_policy_is_not_used(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run", should_stop=stop_after(1))
    assert same(train(CONFIG, MARKET, checkpoint=tmp_path / "run"), whole)
    train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run", should_stop=stop_after(1))
    resumed = train(CONFIG, MARKET, initial_policy=initial, checkpoint=tmp_path / "run")
    assert same(resumed, train(CONFIG, MARKET, initial_policy=initial))


@pytest.mark.parametrize(
    ("other", "named"),
    [
        ({"ppo__hidden_sizes": [8, 8]}, r"hidden_sizes: the policy's \[8\], the config's \[8, 8\]"),
        ({"environment__positions": [0.0, 1.0]}, r"positions: the policy's \[-1.0, 0.0, 1.0\], the config's \[0.0"),
        ({"environment__features": ["rsi_14"]}, "features: the policy's .*rsi_14"),
        ({"ppo__normalize_observations": False}, "normalize_observations: the policy's True, the config's False"),
        ({"ppo__normalize_rewards": False}, "normalize_rewards"),
    ],
)
def test_an_initial_policy_that_does_not_fit_is_refused(tmp_path, whole, other, named):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    check_fits(initial, changed(CONFIG, ppo__gamma=0.5, environment__fee=0.01), MARKET)
    with pytest.raises(PolicyMismatchError, match=named):
        train(changed(CONFIG, **other), MARKET, initial_policy=initial)


def test_an_initial_policy_trained_on_evaluation_bars_is_refused(tmp_path, whole):
    whole.save(tmp_path / "policy")
    initial = load_policy(tmp_path / "policy")
    assert initial.trained_until == MARKET.timestamp[209]
    check_fits(initial, changed(CONFIG, market__train_fraction=0.75), MARKET)
    all_bars = changed(CONFIG, market__train_fraction=1.0)
    check_fits(initial, all_bars, MARKET)
    until = r"bars: the policy was trained until 2020-01-09T17:00:00, the evaluation begins at 2020-01-07T06:00:00"
    with pytest.raises(PolicyMismatchError, match=until):
        train(changed(CONFIG, market__train_fraction=0.5), MARKET, initial_policy=initial)
    train(changed(all_bars, episodes=1), MARKET, initial_policy=initial).save(tmp_path / "all")
    with pytest.raises(PolicyMismatchError, match=r"trained until 2020-01-13T11:00:00, the evaluation begins at"):
        check_fits(load_policy(tmp_path / "all"), CONFIG, MARKET)
