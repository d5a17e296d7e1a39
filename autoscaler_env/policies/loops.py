"""Compiled loops of the rules: the nearest action, and what controllers do between two observations.

The rules and what they stand for are in `kubernetes` and `aws`; here is the arithmetic of one service after another. It
is the same in every version of the loop, so costs do not depend on how many services are simulated side by side.
"""

import math

import numpy as np

from autoscaler_env.compiled import compiled

PODS, PERCENT = 0, 1
"""Types of a behaviour policy."""

LARGEST, SMALLEST, DISABLED = 0, 1, 2
"""What `selectPolicy` can be: Max, Min and Disabled."""


@compiled
def nearest(wanted, fleet, actions, changes, least, most):
    """Return the action of each service whose change brings its fleet nearest to a wanted one, of equals the first."""
    chosen = np.empty(len(fleet), dtype=np.int64)
    for i in range(len(fleet)):
        best, index = np.inf, 0
        for j in range(len(changes)):
            after = fleet[i] + changes[j]
            if changes[j] == 0 or least <= after <= most:
                distance = abs(wanted[i] - after)
                if distance < best:
                    best, index = distance, j
        chosen[i] = actions[index]
    return chosen


# --- HPA -------------------------------------------------------------------------------------------------------------


@compiled
def _rounded(value):
    """Return a number with nine decimals, as `np.round`."""
    return np.rint(value * 1e9) / 1e9


@compiled
def _cut(ratio, whole):
    """Return the ratio of a utilisation to its target with the utilisation cut to whole percent; `whole` 0 cuts not."""
    return ratio if whole == 0.0 else math.floor(_rounded(ratio * whole)) / whole


@compiled
def _pods_asked(ratio, ready, unready, missing, tolerance, upward, whole):
    """Return the pods of `kubernetes.propose_by_pods` for one service."""
    current = ready + unready + missing
    cut = _cut(ratio, whole)
    spread, counted = ratio, ready + missing
    if cut > 1.0:
        spread, counted = ratio * ready / max(current, 1), current
    elif cut < 1.0 and missing > 0:
        full = 1.0 if whole == 0.0 else max(100.0, whole) / whole
        spread = (ratio * ready + full * missing) / max(ready + missing, 1)
    spread = _cut(spread, whole)
    if 1.0 - tolerance <= spread <= 1.0 + upward:
        return current
    proposal = math.ceil(_rounded(spread * counted))
    if (cut > 1.0 and spread < 1.0) or (cut < 1.0 and spread > 1.0):
        return current
    return current if (spread < 1.0 and proposal > current) or (spread > 1.0 and proposal < current) else proposal


@compiled
def _total_asked(total, target, current, tolerance, upward):
    """Return the pods of `kubernetes.propose_by_total` for one service."""
    if current > 0 and 1.0 - tolerance <= total / (target * current) <= 1.0 + upward:
        return current
    return math.ceil(_rounded(total / target))


@compiled
def pods_asked(ratio, ready, unready, missing, tolerance, upward, whole):
    """Return `kubernetes.propose_by_pods`; all arrays have the shape (n,)."""
    pods = np.empty(len(ratio), dtype=np.int64)
    for i in range(len(ratio)):
        pods[i] = _pods_asked(ratio[i], ready[i], unready[i], missing[i], tolerance[i], upward[i], whole[i])
    return pods


@compiled
def total_asked(total, target, current, tolerance, upward):
    """Return `kubernetes.propose_by_total`; all arrays have the shape (n,)."""
    pods = np.empty(len(total), dtype=np.int64)
    for i in range(len(total)):
        pods[i] = _total_asked(total[i], target[i], current[i], tolerance[i], upward[i])
    return pods


@compiled
def _group(i, lag, ready, removed, seen, clocks):
    """Return the ready pods of a service by what the controller knows of them, from the observations so far.

    Those with a sample; those whose sample is of their boot and counts as unused; those whose sample is not used; those
    without a sample. Of the ready pods the youngest are removed first, as by a ReplicaSet.
    """
    boot, step, initialisation = clocks[0], clocks[1], clocks[2]
    newest = seen.shape[1] - 1
    sampled = seen[1, newest - lag, i]  # they booted then, and become ready first
    unused, initialising, missing, young = 0, 0, 0, 0
    for ago in range(lag):
        young += max(seen[0, newest - ago, i] - seen[0, newest - ago - 1, i], 0)
    left = min(max(young - removed, 0), ready)
    for ago in range(lag - 1, -1, -1):
        here = min(max(seen[0, newest - ago, i] - seen[0, newest - ago - 1, i], 0), left)
        left -= here
        known = min(here, sampled)
        sampled -= known
        missing += here - known
        if boot + ago * step < initialisation:
            initialising += known
        else:
            unused += known
    return ready - unused - initialising - missing, unused, initialising, missing


@compiled
def _proposal(i, cpu, lag, pods, seen, metric, settings, clocks, late):
    """Return the pods that the metric of one service asks for."""
    newest = metric.shape[0] - 1
    target, tolerance, upward = settings[0, i], settings[1, i], settings[2, i]
    value = metric[newest - lag, i]
    if not cpu:
        return _total_asked(value, target, pods, tolerance, upward)
    ready, booting = seen[0, newest, i], seen[1, newest, i]
    removed = max(ready + booting - pods, 0)
    ready = max(ready - removed, 0)
    unready = max(pods - ready, 0)
    measured, unused, initialising, missing = _group(i, lag, ready, removed, seen, clocks)
    old = min(late[i], unready)  # they boot, but their samples count
    unused, unready = unused + old, unready - old + initialising
    if measured + unused == 0 or (measured > 0 and seen[0, newest - lag, i] == 0):
        return pods  # there is no metric, and it holds
    ratio = value / target
    if unused > 0:
        ratio = ratio * measured / (measured + unused)
    return _pods_asked(ratio, measured + unused, unready, missing, tolerance, upward, target)


@compiled
def _furthest(pods, starts, policies, select, growing):
    """Return the furthest that the policies of a direction allow, from the pods at the starts of their periods."""
    if select == DISABLED:
        return pods
    reached = 0
    for j in range(len(policies)):
        value, start = policies[j, 1], starts[j]
        if policies[j, 0] == PODS:
            one = start + value if growing else start - value
        elif growing:
            one = math.ceil(start * (1 + value / 100))
        else:
            one = int(start * (1 - value / 100))
        larger = growing == (select == LARGEST)
        reached = one if j == 0 else (max(reached, one) if larger else min(reached, one))
    return max(reached, pods) if growing else min(reached, pods)


@compiled
def _starts(i, number, policies, before):
    """Return the pods at the start of the period of each policy; the present sync has this number."""
    starts = np.empty(len(policies), dtype=np.int64)
    for j in range(len(policies)):
        starts[j] = before[(number - min(policies[j, 2] - 1, number)) % len(before), i]
    return starts


@compiled
def _extreme(i, number, length, ring, value, best, largest):
    """Put a value into the ring of a service; return the largest or smallest of its last `length` values."""
    if number == 0:
        ring[:length, i] = value
        return value
    row = number % length
    gone = ring[row, i]
    ring[row, i] = value
    if (value >= best) if largest else (value <= best):
        return value
    if gone != best:
        return best
    found = ring[0, i]
    for j in range(1, length):
        found = max(found, ring[j, i]) if largest else min(found, ring[j, i])
    return found


@compiled
def sync_all(
    cpu, number, lags, pods, seen, metric, settings, clocks, late, windows, highest, lowest, best, up, down, before
):
    """Let HPA's controller act several times, between two observations; write the pods that each service then wants.

    Args:
        cpu: Whether the metric is the use of CPU; else it is a total.
        number: Syncs of the day so far.
        lags: For each sync, the age of its metric in observations, shape (syncs,).
        pods: The fleet, within its limits; gets the wanted one, shape (n,).
        seen: Ready and booting pods of the last observations, the newest last: shape (2, observations, n).
        metric: Percent of use or totals of the same observations, shape (observations, n).
        settings: Target, tolerance and upward tolerance, shape (3, n). The target is percent or a total.
        clocks: Seconds of a boot, of a step, and of CPU initialisation; fewest and most pods; selections up and down.
        late: Pods that boot and whose samples count nevertheless, shape (n,).
        windows: Syncs of the downscale window, 0 for none, and of the upscale window: shape (2, n).
        highest: Ring of proposals, shape (longest window, n).
        lowest: The same for the upscale window.
        best: The largest and the smallest proposal of the windows, shape (2, n).
        up: Type, value and syncs of each policy of growing, shape (policies, 3).
        down: The same for shrinking.
        before: Ring of the pods before each sync, shape (longest period, n).
    """
    least, most, select_up, select_down = int(clocks[3]), int(clocks[4]), int(clocks[5]), int(clocks[6])
    for i in range(len(pods)):
        now, lag, of, proposal = pods[i], -1, -1, 0
        for tick in range(len(lags)):
            if lags[tick] != lag or now != of:
                lag, of = lags[tick], now
                proposal = _proposal(i, cpu, lag, now, seen, metric, settings, clocks, late)
            high, low, count = proposal, proposal, number + tick
            if count == 0:  # a new controller first recommends what it finds
                low = min(proposal, now)
                if windows[0, i] > 0:
                    high = max(proposal, now)
            best[0, i] = _extreme(i, count, max(windows[0, i], 1), highest, high, best[0, i], True)
            lower = proposal
            if windows[1, i] > 0:
                best[1, i] = _extreme(i, count, windows[1, i], lowest, low, best[1, i], False)
                lower = best[1, i]
            wanted = min(max(now, lower), best[0, i])
            before[count % len(before), i] = now
            if wanted > now:
                wanted = min(wanted, _furthest(now, _starts(i, count, up, before), up, select_up, True))
            elif wanted < now:
                wanted = max(wanted, _furthest(now, _starts(i, count, down, before), down, select_down, False))
            now = min(max(wanted, least), most)
        pods[i] = now


# --- AWS -------------------------------------------------------------------------------------------------------------


@compiled
def _percent_of(capacity, percent):
    """Return how many instances a percentage of a capacity is to AWS."""
    share = percent / 100
    return max(math.floor(_rounded(capacity * share)), 1) if share > 0 else 0


@compiled
def percents_of(capacity, percent):
    """Return `aws.adjusted`; both arrays have the shape (n,)."""
    found = np.empty(len(capacity), dtype=np.int64)
    for i in range(len(capacity)):
        found[i] = _percent_of(capacity[i], percent[i])
    return found


@compiled
def _breaches(i, last, periods, threshold, above, strict, datapoints):
    """Return whether so many datapoints in a row, up to the last, are past a threshold; and the highest of them."""
    highest = -np.inf
    for number in range(last - periods, last):
        value = datapoints[number % len(datapoints), i]
        past = (value > threshold if strict else value >= threshold) if above else value < threshold
        if not above and not strict:
            past = value <= threshold
        if not past:  # NaN is past nothing
            return False, highest
        highest = max(highest, value)
    return True, highest


@compiled
def evaluate_all(tracking, times, fleet, settings, datapoints, alarms, limits, base, out_until, in_until):
    """Let CloudWatch evaluate its alarms several times, between two observations; write the fleets then wanted.

    Args:
        tracking: Whether it is target tracking; else it is step scaling.
        times: Seconds from the start of the day to each evaluation, shape (evaluations,).
        fleet: The fleet; gets the wanted one, shape (n,).
        settings: Threshold of the high alarm and of the low one, cooldowns out and in; then the target, or
            `add_percent`, `jump_above`, `jump_percent`, `remove_percent`, `drop_below` and `drop_percent`: shape
            (settings, n).
        datapoints: Ring of the mean utilisation of each period, shape (rows, n).
        alarms: Period and delay in seconds; datapoints of the high alarm and of the low one.
        limits: Fewest and most instances.
        base: The fleet before what was added lately, shape (n,).
        out_until: When what was added no longer counts, in seconds, shape (n,).
        in_until: When the next scale-in may happen, shape (n,).
    """
    period, delay, high_periods, low_periods = alarms
    least, most = limits
    for i in range(len(fleet)):
        wanted = fleet[i]
        for now in times:
            wanted = min(max(wanted, least), most)
            last = (now - delay) // period  # datapoints that can be used
            added = now < out_until[i]  # what was added still counts as part of what is asked for
            origin = base[i] if added else wanted
            grown, shrunk = wanted, wanted
            if last >= high_periods and _breaches(i, last, high_periods, settings[0, i], True, tracking, datapoints)[0]:
                newest = datapoints[(last - 1) % len(datapoints), i]
                if tracking:
                    grown = math.ceil(_rounded(origin * newest / settings[4, i]))
                else:
                    jump = newest >= settings[5, i]
                    grown = origin + _percent_of(origin, settings[6, i] if jump else settings[4, i])
                grown = min(max(grown, wanted), most)
            if grown == wanted and last >= low_periods and not added and now >= in_until[i]:
                breach, highest = _breaches(i, last, low_periods, settings[1, i], False, tracking, datapoints)
                if breach and tracking:
                    shrunk = math.ceil(_rounded(wanted * highest / settings[4, i]))
                elif breach:
                    drop = highest <= settings[8, i]
                    shrunk = wanted - _percent_of(wanted, settings[9, i] if drop else settings[7, i])
                shrunk = max(min(shrunk, wanted), least)
            if grown > wanted:
                base[i] = origin
                out_until[i] = now + settings[2, i]
                in_until[i] = now
                wanted = grown
            elif shrunk < wanted:
                in_until[i] = now + settings[3, i]
                wanted = shrunk
        fleet[i] = wanted
