# %% 10.1
answer_1 = sum(service.instance_price_per_hour * hour for hour in range(1, 6))


# %% 10.2
def answer_2(arrivals, served, dropped, queue):
    """Return the requests that are missing in each step."""
    return arrivals - served - dropped - np.diff(queue, prepend=0)


# %% 10.3
# The meter counts most for the first instances, and counts an instance only after an hour: remove the first at once,
# and replace the others before they are an hour old.
answer_3 = [0] * 24 + [2, 0] * 132


# %% 10.4
# Three fleets must have one price: a steady one, one whose instances are exchanged, and one with a short visitor.
def answer_4(meter):
    """Return whether a meter counts each step of each instance once, at one price."""
    fleets = ([25] * 288, [25, 26] * 144, [25] * 100 + [26] * 6 + [25] * 182)
    prices = [np.sum(meter(fleet)) / np.sum(fleet) for fleet in fleets]
    return bool(np.allclose(prices, prices[0]))
