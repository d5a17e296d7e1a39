# %% 02.1
answer_1 = np.ceil((2_000 + 300) / (87 * 0.9) + 2)

# %% 02.2
answer_2 = (0.95, 0.9)

# %% 02.3
# About six late requests now cost as much as one instance, so more instances are cheaper.
answer_3 = "more"
