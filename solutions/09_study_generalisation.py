# %% 09.1
answer_1 = np.mean([145, 146, 147])

# %% 09.2
# A quarter of the width takes sixteen times the trainings.
answer_2 = round(10 * (0.80 / 0.20) ** 2)

# %% 09.3
answer_3 = max(costs, key=lambda name: costs[name].std()).split(" on ")[0]
