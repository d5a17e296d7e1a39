# %% 10.1
answer_1 = sum(service.instance_price_per_hour * hour for hour in range(1, 6))

# %% 10.2
answer_2 = instance_dollars(held).sum() / (2 * instance_dollars(held[:144]).sum())

# %% 10.3
# The meter counts most for the first instances, and counts an instance only after an hour: remove the first at once,
# and replace the others before they are an hour old.
answer_3 = [0] * 24 + [2, 0] * 132
