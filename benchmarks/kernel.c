/* The step of a batch of services in plain C: the yardstick of bench_speed.py.
 *
 * The reference service only: boots take one whole step, and a service keeps at least one instance. One loop, as one
 * would write it from docs/design.md; quotients in double precision, as in the definition of the observations. Rows of
 * observations lie `stride` apart: at a power of two they would share the sets of the cache. */

#include <stdint.h>

void advance(int64_t n, int64_t stride, int32_t *restrict ready, int32_t *restrict booting, int32_t *restrict queue,
             int32_t *restrict due, int32_t *restrict shown, int32_t *restrict served, int32_t *restrict dropped,
             int32_t *restrict scaled, int32_t *restrict refused, int32_t *restrict change,
             const int64_t *restrict actions, const int64_t *restrict fleet_changes, const int32_t *restrict arrivals,
             float *restrict observations, double *restrict rewards, const int32_t *restrict sizes,
             const double *restrict prices)
{
    const int32_t least = sizes[0], most = sizes[1], capacity = sizes[2], queue_limit = sizes[3];
    const double arrivals_scale = sizes[4], spare_capacity_scale = sizes[5];
    for (int64_t i = 0; i < n; i++) {
        int32_t r = ready[i] + due[i], b = booting[i] - due[i];
        const int32_t asked = (int32_t)fleet_changes[actions[i]];
        int32_t added = asked > 0 ? asked : 0, removed = asked < 0 ? -asked : 0;
        const int32_t refuse = (added > 0 && r + b + added > most) || (removed > 0 && r - removed < least);
        if (refuse)
            added = removed = 0;
        r -= removed;
        b += added;
        const int32_t demand = queue[i] + arrivals[i], can = capacity * r;
        const int32_t done = demand < can ? demand : can, waiting = demand - done;
        const int32_t q = waiting < queue_limit ? waiting : queue_limit, lost = waiting - q;
        const int32_t difference = arrivals[i] - shown[i];
        ready[i] = r;
        booting[i] = b;
        queue[i] = q;
        due[i] = added;
        served[i] = done;
        dropped[i] = lost;
        scaled[i] = asked != 0 && !refuse;
        refused[i] = refuse;
        change[i] = difference;
        shown[i] = arrivals[i];
        rewards[i] = -(prices[0] * (r + b) + prices[1] * q + prices[2] * lost);
        const double seen = arrivals[i] / arrivals_scale, moved = difference / arrivals_scale;
        const double spare = (capacity * (r + b) - arrivals[i] - q) / spare_capacity_scale;
        observations[i] = (float)((double)r / most);
        observations[stride + i] = (float)((double)b / most);
        observations[2 * stride + i] = (float)((double)done / can);
        observations[3 * stride + i] = (float)((double)q / queue_limit);
        observations[4 * stride + i] = (float)(seen < 1 ? seen : 1);
        observations[5 * stride + i] = (float)(moved < -1 ? -1 : moved > 1 ? 1 : moved);
        observations[6 * stride + i] = (float)(spare < -1 ? -1 : spare);
    }
}
