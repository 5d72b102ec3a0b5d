/* SPDX-License-Identifier: MIT */
#ifndef CLIENT_CLOCK_H
#define CLIENT_CLOCK_H

#include <stdint.h>

/* The client's only place that reads clocks. */

/* Milliseconds since 1970 UTC. */
int64_t wall_now_ms(void);
/* Microseconds of CLOCK_MONOTONIC. */
int64_t mono_now_us(void);

#endif
