# %% 03.1
answer_1 = 0.25

# %% 03.2
# The fourth update has the step size 4 ** -0.5 = 1/2: half of the way from -1.2 to -0.5 + 0.9 x (-1.0) = -1.4.
answer_2 = -1.2 + 4**-0.5 * ((-0.5 + 0.9 * -1.0) - -1.2)


# %% 03.3
def q_update(values, cell, action, reward, following, rate, discount):
    td_error = reward + discount * values[following].max() - values[cell, action]
    values[cell, action] += rate * td_error
    return values


answer_3 = q_update


# %% 03.4
def epsilon_greedy(values, epsilon, rng):
    explore = rng.random(len(values)) < epsilon
    return np.where(explore, rng.integers(3, size=len(values)), values.argmax(axis=1))


answer_4 = epsilon_greedy


# %% 03.5
def sarsa_target(reward, next_values, next_action, discount):
    return reward + discount * next_values[next_action]


answer_5 = sarsa_target


# %% 03.6
def cell_of(spare, change, spare_edges, change_edges):
    # As many edges as are not above the value lie below its cell.
    row, column = (spare_edges <= spare).sum(), (change_edges <= change).sum()
    return row * (len(change_edges) + 1) + column


answer_6 = cell_of
