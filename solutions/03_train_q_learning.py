# %% 03.1
answer_1 = 0.25

# %% 03.2
# The fourth update has the step size 4 ** -0.5 = 1/2: half of the way from -1.2 to -0.5 + 0.9 x (-1.0) = -1.4.
answer_2 = -1.2 + 4**-0.5 * ((-0.5 + 0.9 * -1.0) - -1.2)
