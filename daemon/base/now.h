/* SPDX-License-Identifier: MIT */
#ifndef DAEMON_BASE_NOW_H
#define DAEMON_BASE_NOW_H

#include <stdbool.h>
#include <stdint.h>
#include <time.h>

/*
 * The only place that reads clocks.  Three clocks, three types, so that they
 * cannot be mixed up:
 *
 *   struct mono  CLOCK_MONOTONIC: I/O timeouts, grace, attempt timeouts
 *   struct boot  CLOCK_BOOTTIME:  elapsed time with suspend: delay, sleep
 *   struct wall  CLOCK_REALTIME:  what people see, "at"
 */
struct mono {
	int64_t ns;
};
struct boot {
	int64_t ns;
};
struct wall {
	int64_t ms;
};

#define MONO_NEVER ((struct mono){ INT64_MAX })

struct mono now_mono(void);
struct boot now_boot(void);
struct wall now_wall(void);

/* @t + @us, clamped at "never". */
static inline struct mono mono_add_us(struct mono t, int64_t us)
{
	if (t.ns == INT64_MAX || us > (INT64_MAX - t.ns) / 1000)
		return MONO_NEVER;
	return (struct mono){ t.ns + us * 1000 };
}
static inline struct mono mono_in_us(int64_t us)
{
	return mono_add_us(now_mono(), us);
}
static inline bool mono_is_never(struct mono t)
{
	return t.ns == INT64_MAX;
}

/*
 * A point in elapsed time that survives a reboot: in the boot in which it was
 * written CLOCK_BOOTTIME decides, after that the wall clock (R5.1).
 * boot.ns == 0: the wall clock decides always ("at").
 */
struct instant {
	struct wall wall; /* ms; 0 = no instant */
	struct boot boot; /* valid in this boot only; loaded as 0 when the boot has changed */
};
struct instant now_instant(void);
/* @t + @us (>= 0).  Parts of a millisecond of wall time are rounded up: nothing is early. */
static inline struct instant instant_add_us(struct instant t, int64_t us)
{
	t.wall.ms += (us + 999) / 1000;
	if (t.boot.ns)
		t.boot.ns += us * 1000;
	return t;
}
/* From @from to @to, by the clock that decides for both. */
static inline int64_t instant_elapsed_us(struct instant from, struct instant to)
{
	if (from.boot.ns && to.boot.ns)
		return (to.boot.ns - from.boot.ns) / 1000;
	return (to.wall.ms - from.wall.ms) * 1000;
}

/*
 * @ms from now, for waits of the kernel by CLOCK_MONOTONIC: always of the real
 * clock, since that is what it looks at.
 */
struct timespec now_timespec_in_ms(int ms);

/* This boot's id (/proc/sys/kernel/random/boot_id), read once; "" if it cannot be read. */
const char *now_boot_id(void);

/*
 * For unit tests: from now on the three clocks show what was set here and
 * move only by now_fake_advance_us().
 */
void now_fake_start(struct mono mono, struct boot boot, struct wall wall);
void now_fake_advance_us(int64_t us);
void now_fake_step_wall_ms(int64_t ms);
void now_fake_stop(void);

#endif
