import re
from datetime import timedelta

import pytest
from django.utils import timezone

from dashboard.pages.active_runs import shown
from dashboard.pages.policy_states import Record
from rl_training.models import TrainingRun
from rl_training.presence import heartbeats
from rl_training.streams import progress
from tests.dashboard.pages.page_rows import active_run
from tests.dashboard.pages.page_text import words

pytestmark = pytest.mark.django_db
# 4 environments of 32 steps an episode: a run of 8 episodes takes 1,024 steps.
SIZES = {"ppo": {"num_envs": 4, "rollout_length": 16}, "environment": {"episode_length": 32}}


def test_running_policy_shows_its_stored_progress(page, policy):
    active_run(policy, episodes_done=3)
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        assert '<progress value="0.3750" max="1"' in html
        assert "Episode 3 of 8" in words(html)
        assert "after this run" in words(html)


def test_published_progress_gives_reward_speed_and_time_left(page, policy, streams):
    now = timezone.now()
    run = active_run(policy, started_at=now - timedelta(seconds=10), heartbeat_at=now, config=SIZES, episodes_done=1)
    progress.publish(run, {"episode": 2, "episodes": 8, "reward": 0.5, "avg_reward": 0.25, "environment_steps": 256})
    for url in ("/", "/policies/rl_v3/"):
        html = page(url)
        assert "Episode 2 of 8 Reward so far 0.25 Steps per second 2" in words(html)
        assert re.search(r"Time left (2[89]|30|31)\.\d s", words(html))
        assert '<progress value="0.2500" max="1"' in html


def test_finished_iterations_count_between_episodes(policy, streams):
    run = active_run(policy, started_at=timezone.now(), config=SIZES, iterations_done=3, episodes_done=1)
    found = shown(TrainingRun.objects.watched().get(pk=run.pk), None, {})
    assert (found.steps, found.share) == (1024, 192 / 1024)


def test_progress_of_several_members_neither_waits_nor_goes_back(policy, streams):
    # 3 members of 8 episodes take 3,072 steps; the second one has finished its first episode.
    run = active_run(policy, started_at=timezone.now(), config=SIZES | {"seeds": 3}, episodes_done=2)
    TrainingRun.objects.filter(pk=run.pk).update(environment_steps=1152, iterations_done=18)
    watched = TrainingRun.objects.watched().get(pk=run.pk)
    found = shown(watched, None, {})
    assert (found.steps, found.share, found.episodes_done) == (3072, 1152 / 3072, 2)
    entry = {"episode": 2, "member": 2, "members": 3, "episodes_done": 3, "environment_steps": 1280}
    found = shown(watched, None, entry)
    assert (found.share, found.episodes_done) == (1280 / 3072, 3)


@pytest.mark.parametrize(
    "config", [{}, [], {"ppo": 3}, {"ppo": {"num_envs": "x"}, "environment": {"episode_length": -1}}]
)
def test_snapshot_with_unknown_sizes_is_no_error(page, policy, config):
    active_run(policy, config=config, episodes_done=2, started_at=timezone.now())
    assert "Episode 2 of 8" in words(page("/"))


@pytest.mark.parametrize(
    ("preparing", "reason"),
    [
        (True, "Waiting: the worker is preparing: the first time on a machine, it compiles for about a minute"),
        (False, "Waiting for a worker; queued"),
    ],
)
def test_queued_run_shows_why_it_waits(page, policy, streams, preparing, reason):
    run = active_run(policy, "queued")
    heartbeats.record("worker")
    heartbeats.record_preparing(preparing)
    for url in ["/policies/rl_v3/", f"/runs/{run.run_id}/"] + ["/"] * preparing:
        assert reason in words(page(url))


def test_record_is_drawn_with_the_newest_run_last():
    record = Record("fs")
    assert (record.failed_path, record.succeeded_path) == ("M97 0v14", "M99 3v8")
