# %% 02.1
answer_1 = np.ceil((2_000 + 300) / (87 * 0.9) + 2)

# %% 02.2
answer_2 = (0.95, 0.9)

# %% 02.3
# A late request now costs as much as a sixth of an instance: more of them are kept in reserve.
answer_3 = "more"
