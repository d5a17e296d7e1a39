"""Recorded traffic: what a policy remembers of days in a row, and policy iteration trained on them."""

import dataclasses
import io
import shutil
import zipfile
from datetime import datetime, timedelta

import numpy as np
import pytest
import torch

from autoscaler_env.advice.learners import GENERATED_START, started, training_config
from autoscaler_env.advice.runtime import Autoscaler
from autoscaler_env.evaluation.calibration import calibrate
from autoscaler_env.evaluation.simulation import by_day, simulate_through
from autoscaler_env.paths import Folders
from autoscaler_env.policies.decision_inputs import FLEET_INPUTS
from autoscaler_env.policies.inputs import observed_arrivals
from autoscaler_env.policies.recorded_inputs import RecordedInputs, fit_recording
from autoscaler_env.policies.seasonal import usual_at
from autoscaler_env.service import Service
from autoscaler_env.storage.models import load_policy, read_description, read_model
from autoscaler_env.traffic.generated import GeneratedDays
from autoscaler_env.traffic.patterns import day_seeds
from autoscaler_env.traffic.trace import ResampledDays, Trace, recorded_days
from autoscaler_env.training.checkpoint import RunFolder
from autoscaler_env.training.config import TrainingConfig, WarmStart
from autoscaler_env.training.recorded import lines_of, varied
from autoscaler_env.training.train import train

HOURLY = Service(step_seconds=3600, steps_per_episode=24, initial_instances=10)
SMALL = {"iterations": 3, "days": 60, "labels": 8, "rule_iterations": 1}


def busy_from_two(days, seed=0):
    """Return days whose demand jumps at 14:00 from 10 to 20 instances' worth, with a little noise."""
    requests = np.full((days, 24), 10 * HOURLY.capacity_per_instance)
    requests[:, 14:] *= 2
    return requests + np.random.default_rng(seed).integers(-20, 20, requests.shape)


def test_usual_is_the_mean_of_a_day_and_a_week_before():
    counts = np.arange(10 * 24)
    assert usual_at(counts, 8 * 24 + 5, 24) == ((7 * 24 + 5) + (1 * 24 + 5)) / 2
    assert usual_at(counts, 24 + 5, 24) == 5  # no week is known


def test_a_policy_in_use_sees_what_it_saw_in_training_over_all_its_days():
    days = busy_from_two(30)
    recording = fit_recording(days[:8], HOURLY)
    trained = lines_of(days.reshape(1, -1), recording, HOURLY)
    inputs = RecordedInputs(HOURLY, recording)
    for step, seen in enumerate(observed_arrivals(HOURLY, days[8:].reshape(1, -1))):
        # products of matrices round differently for one row and for many
        assert inputs(seen)[0, FLEET_INPUTS:] == pytest.approx(trained.known[0, 7 * 24 + step], abs=1e-5), step


def test_no_input_knows_the_future():
    days = busy_from_two(12)
    recording = fit_recording(days, HOURLY)
    other, now = days.reshape(1, -1).copy(), 9 * 24 + 7
    other[:, now:] = 0
    first, second = (lines_of(line, recording, HOURLY) for line in (days.reshape(1, -1), other))
    until = now - 24 + 1  # of the decision in step `now`, the first day being history
    assert np.array_equal(first.known[:, :until], second.known[:, :until])
    assert np.array_equal(first.expected[:, :until], second.expected[:, :until])
    assert not np.array_equal(first.known[:, until], second.known[:, until])


def test_a_memory_that_missed_steps_takes_what_was_usual():
    recording = fit_recording(busy_from_two(9), HOURLY)
    inputs = RecordedInputs(HOURLY, recording)
    inputs.start_at(15)
    filled = inputs.state()["counts"][0, 8 * 24 : 8 * 24 + 15]
    history = recording.history
    assert filled.tolist() == [round((history[7, k] + history[1, k]) / 2) for k in range(15)]
    inputs(np.zeros((1, 7), dtype=np.float32))
    known = inputs.state()["known"]
    inputs.start_at(15)  # asked twice in a step
    inputs.start_at(16)
    assert inputs.state()["known"] == known
    with pytest.raises(ValueError, match="step = 24: must be from 0 to 23"):
        inputs.start_at(24)


def test_before_each_day_of_a_trace_it_remembers_the_days_before_it():
    days = busy_from_two(14)
    recording = fit_recording(days[:9], HOURLY)
    trained = lines_of(days.reshape(1, -1), recording, HOURLY)
    inputs = RecordedInputs(HOURLY, recording)
    inputs.remember(days)
    inputs.start(days[9:])
    first = inputs(np.zeros((5, 7), dtype=np.float32))[:, FLEET_INPUTS:]
    assert first == pytest.approx(trained.known[0, 8 * 24 :: 24], abs=1e-5)
    assert np.ptp(first, axis=0).max() > 0.1


def test_a_variation_keeps_level_and_length_and_moves_fast_changes():
    days = busy_from_two(12)
    lines = varied(days, 40, 0.5, HOURLY, np.random.default_rng(0))
    assert lines.shape == (40, days.size) and (lines >= 0).all() and len(np.unique(lines[:, 0])) > 20
    assert lines.mean() == pytest.approx(days.mean(), rel=0.05)


def test_where_a_timetable_repeats_each_day_fast_changes_keep_their_time():
    days = np.full((12, 24), 100) + np.random.default_rng(0).integers(-5, 5, (12, 24))
    timetable, crowds = days.copy(), days.copy()
    timetable[:, 9] += 400
    crowds[np.arange(12), np.random.default_rng(1).permutation(24)[:12]] += 400
    for known, at_its_hour in ((timetable, True), (crowds, False)):
        highest = varied(known, 20, 1.0, HOURLY, np.random.default_rng(0)).reshape(20, 12, 24).argmax(axis=2)
        assert ((highest == known.argmax(axis=1)).mean() == 1) == at_its_hour


def test_only_days_in_a_row_that_can_forecast_have_a_calendar():
    trace = Trace("shop", busy_from_two(10))
    assert np.array_equal(recorded_days(trace, 1), trace.earlier)
    assert np.array_equal(recorded_days(ResampledDays("traffic", trace), 1), trace.earlier)
    assert recorded_days("MIXED", 1) is None and recorded_days(Trace("short", busy_from_two(3)), 1) is None
    assert recorded_days(trace, 20) is None


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Return a training on a trace, its folders, and the trace."""
    trace, folders = Trace("shop", busy_from_two(15), 3600), Folders(tmp_path_factory.mktemp("recorded"))
    return train(config(trace, iterations=10), folders, progress=False), folders, trace


def config(trace, **changes):
    return TrainingConfig("policy-iteration", trace, service=HOURLY, **SMALL | changes)


def test_it_orders_before_what_comes_every_day(trained):
    result, _, trace = trained
    rule = calibrate([ResampledDays("traffic", trace)], HOURLY).rule(HOURLY)
    learned, tracked = (
        by_day(simulate_through(policy, trace.later, HOURLY), HOURLY).cost.sum(axis=1).mean()
        for policy in (result.policy, rule)
    )
    assert learned < 0.97 * tracked


def test_its_file_is_read_without_running_code_and_plays_as_trained(trained, tmp_path):
    result, folders, trace = trained
    path = folders.models / "policy_iteration_shop.zip"
    loaded = load_policy(path, HOURLY)
    played = [simulate_through(policy, trace.later, HOURLY).actions for policy in (result.policy, loaded)]
    assert np.array_equal(*played) and read_model(path, HOURLY).kind.startswith("policy iteration 60-32-32-")
    for change, message in (
        (lambda arrays: None, "needs a member recording.pt"),
        (lambda arrays: arrays | {"history": arrays["history"] - 5_000}, "counts of requests"),
        (lambda arrays: arrays | {"centre": arrays["centre"][:-1]}, "centre has the shape"),
        (lambda arrays: {"history": arrays["history"]}, "it must hold history, centre"),
    ):
        spoilt = shutil.copy(path, tmp_path / "spoilt.zip")
        repack(spoilt, change)
        with pytest.raises(ValueError, match=message):
            load_policy(spoilt, HOURLY)
    with pytest.raises(ValueError, match="trained on days of 24 steps"):
        load_policy(path, Service(step_seconds=1800, steps_per_episode=48))


def repack(path, change):
    """Replace the recording in a model's file by what `change` returns for its arrays; `None` removes it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    arrays, buffer = change(torch.load(io.BytesIO(members.pop("recording.pt")), weights_only=True)), io.BytesIO()
    if arrays is not None:
        torch.save({name: array.clone() for name, array in arrays.items()}, buffer)
        members["recording.pt"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def test_it_decides_live_as_in_the_simulation_over_midnight(trained, tmp_path):
    result, folders, trace = trained
    fields = [f"{name} = {value}\n" for name, value in HOURLY.as_dict().items()]
    (tmp_path / "service.toml").write_text("".join(fields))
    scaler = Autoscaler(folders.models / "policy_iteration_shop.zip", tmp_path / "service.toml")
    played = simulate_through(result.policy, trace.later, HOURLY)
    seen = {"ready": 10, "booting": 0, "queue": 0, "arrivals": int(played.arrivals[0, 0])}
    for step in range(60):
        now = datetime(2026, 11, 2) + timedelta(hours=step)
        assert scaler.decide(**seen, now=now) == HOURLY.fleet_changes[played.actions[0, step]], step
        seen = {name: int(getattr(played, name)[0, step]) for name in seen}


def test_a_training_that_breaks_off_ends_as_without_interruption(tmp_path, monkeypatch):
    trace = Trace("shop", busy_from_two(8), 3600)
    train(config(trace), Folders(tmp_path / "whole"), progress=False)
    save, saves = RunFolder.save_state, iter(range(1))

    def save_or_break(self, *arguments):
        save(self, *arguments)
        if next(saves, None) is None:
            raise InterruptedError

    monkeypatch.setattr(RunFolder, "save_state", save_or_break)
    with pytest.raises(InterruptedError):
        train(config(trace), Folders(tmp_path / "broken"), progress=False)
    monkeypatch.undo()
    train(config(trace), Folders(tmp_path / "broken"), progress=False, resume=True)
    name = "models/policy_iteration_shop.zip"
    assert (tmp_path / "whole" / name).read_bytes() == (tmp_path / "broken" / name).read_bytes()


def test_a_training_can_start_from_a_network_of_other_traffic(trained, tmp_path):
    result, folders, _ = trained
    other = Trace("other", busy_from_two(15, seed=1), 3600)
    start = WarmStart.of(folders.models / "policy_iteration_shop.zip")
    began = train(config(other, iterations=1, learning_rate=1e-9, start=start), Folders(tmp_path), progress=False)
    weights = [
        torch.cat([tensor.reshape(-1) for tensor in policy.network.state_dict().values()]).numpy()
        for policy in (began.policy, result.policy)
    ]
    assert weights[0] == pytest.approx(weights[1], abs=1e-6)  # it moved by no more than its tiny learning rate
    known, before = began.policy.knowledge, result.policy.knowledge
    assert np.array_equal(known.history, other.earlier[-8:])  # it remembers the days of its own traffic
    assert all(np.array_equal(getattr(known, name), getattr(before, name)) for name in ("centre", "spread", "high"))


def test_forecasts_near_those_of_other_traffic_stay_where_nothing_new_is_known():
    before = fit_recording(busy_from_two(12), HOURLY)
    few, many = (fit_recording(2 * busy_from_two(days, seed=1), HOURLY, near=before) for days in (2, 60))
    far = fit_recording(2 * busy_from_two(60, seed=1), HOURLY)
    moved = [np.abs(each.forecasts - before.forecasts).sum() for each in (few, many)]
    assert moved[0] < moved[1]
    lines = lines_of(2 * busy_from_two(20, seed=2).reshape(1, -1), many, HOURLY)
    came = lines.arrivals[:, HOURLY.boot_steps :] / HOURLY.capacity_per_instance
    wrong = np.abs(lines.expected[:, : -HOURLY.boot_steps, 1] - came).mean()
    alone = lines_of(2 * busy_from_two(20, seed=2).reshape(1, -1), far, HOURLY).expected[:, : -HOURLY.boot_steps, 1]
    assert wrong < 1.1 * np.abs(alone - came).mean()


def test_advice_starts_from_generated_traffic_where_it_pays_and_fits():
    days = GeneratedDays(Service(peak_arrivals=50_000)).rows(day_seeds("evaluation", 5, first=3))[0]
    trace = Trace("row", days)
    service = Service.from_dict(read_description(GENERATED_START)["service"])
    config = training_config("policy-iteration", 16, trace, service, seed=0)
    assert started(config, trace).start == WarmStart.of(GENERATED_START)
    assert started(config, trace).preset.widths == (64, 64)
    others = (
        dataclasses.replace(service, fleet_changes=(-1, 0, 1)),
        dataclasses.replace(service, step_seconds=600),
        dataclasses.replace(service, instance_price_per_hour=100.0),  # here losing requests is cheaper than an instance
    )
    for other in others:
        config = training_config("policy-iteration", 16, trace, other, seed=0)
        assert started(config, trace) == config
    config = training_config("ppo", 30_000, trace, service, seed=0)
    assert started(config, trace) == config
