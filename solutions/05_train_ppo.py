# %% 05.1
answer_1 = min(1.5 * 2, (1 + 0.2) * 2)

# %% 05.2
steps = preset.environments * preset.settings["n_steps"]
answer_2 = preset.settings["n_epochs"] * -(-steps // preset.batch_size)
