# %% 01.1
# 12 instances serve 12 x 87 of the 1,300 requests; we pay for 13 instances, because the new one costs as well.
answer_1 = 13 * service.instance_price + (300 + 1_000 - 12 * 87) * service.late_price

# %% 01.2
sized = [Service(initial_instances=size) for size in range(2, 61)]
costs = {each.initial_instances: simulate(Static(each), days["SPIKE"][:1], each).cost.sum() for each in sized}
answer_2 = min(costs, key=costs.get)


# %% 01.3
def answer_3(ready, booting, change, least, most):
    """Return ready and booting instances after the change."""
    ready, booting = ready + booting, 0
    if change > 0 and ready + change <= most:
        booting = change
    if change < 0 and ready + change >= least:
        ready += change
    return ready, booting


# %% 01.4
def answer_4(arrivals, capacity, limit):
    """Return the queue at the end of each step, and the drops in it."""
    queue, queues, drops = 0, [], []
    for arriving, serving in zip(arrivals, capacity, strict=True):
        waiting = max(queue + arriving - serving, 0)
        queue = min(waiting, limit)
        queues.append(queue)
        drops.append(waiting - queue)
    return queues, drops


# %% 01.5
# Spare capacity is the capacity that is ready or booting, minus arrivals and queue. Add an instance if less than one is
# spare, and remove one if more than two are.
def answer_5(observation):
    """Return the action for an observation."""
    spare = observation[6] * service.spare_capacity_scale / service.capacity_per_instance
    return 2 if spare < 1 else 0 if spare > 2 else 1
